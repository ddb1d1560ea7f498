"""An S3 server that keeps its objects as files and checks credentials: rclone."""

from collections.abc import Mapping
from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.service import Service

BUCKET = "fair-artifacts"
LOGS_BUCKET = "fair-logs"


class S3(Service):
    """``rclone serve s3``: a folder a bucket. It knows no versions and no conditional writes; see `Moto`."""

    key: ClassVar[str] = "s3"

    @property
    def access_key(self) -> str:
        return self.secret("access_key")

    @property
    def secret_key(self) -> str:
        return self.secret("secret_key")

    def values(self) -> Mapping[str, str]:
        return {
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "cache": str(self.home.data("s3-cache")),
        }

    def prepare(self) -> None:
        for bucket in (BUCKET, LOGS_BUCKET):
            (self.data / bucket).mkdir(parents=True, exist_ok=True)

    def problem(self) -> str:
        # Without credentials it refuses: that is an answer.
        return health.http(f"{self.url}/", 400, 403)

    def variables(self) -> Mapping[str, str]:
        return {
            "FAIR_ARTIFACTS": f"s3://{BUCKET}",
            "DAGSTER_LOGS_BUCKET": LOGS_BUCKET,
            **s3_variables(self.url, self.access_key, self.secret_key),
        }


def s3_variables(url: str, access_key: str, secret_key: str) -> Mapping[str, str]:
    """What boto3 and this system read to find an S3 server other than AWS."""
    return {
        "FAIR_S3_ENDPOINT": url,
        "FAIR_S3_PATH_STYLE": "true",
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
