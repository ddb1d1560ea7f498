"""The S3 client, made by dagster-aws's resource, and what its errors mean to an operator.

Credentials come from the environment as boto3 reads them and never pass through here. What is read and written with the
client stands in ``s3`` and ``s3_transfer``.
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster_aws.s3 import S3Resource
from pydantic import Field

from fair_dagster.domain.errors import StorageError, StoreAwayError, StoreRefusesError
from fair_dagster.domain.urls import redact
from fair_dagster.settings import Settings

ATTEMPTS = 10
"""Of one request. With waits that double up to 20 s, a server may be away for half a minute."""
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
CONNECTIONS = 16
_DENIED = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "401"})
_FULL = frozenset({"507", "InsufficientStorage", "StorageFull", "XMinioStorageFull", "QuotaExceeded"})
ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


class ArtifactsS3(S3Resource):
    """dagster-aws's resource with what S3 servers other than AWS need, and with limits of time."""

    path_style: bool = Field(default=False, description="Name the bucket in the path, not in the host.")
    may_be_public: bool = Field(default=False, description="Without credentials, ask as everybody may.")

    def get_client(self) -> Any:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
        from dagster_aws.utils import construct_boto_client_retry_config

        retries = construct_boto_client_retry_config(self.max_attempts)  # type: ignore[no-untyped-call]
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=CONNECTIONS,
            s3={
                "addressing_style": "path" if self.path_style else "auto",
                # Each body has a Content-MD5, which is signed: hashing it once more for the signature proves no more.
                "payload_signing_enabled": False,
            },
            # Of checksums in newer headers many servers know nothing: ours go by Content-MD5 and ETag.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        session = boto3.session.Session(profile_name=self.profile_name)
        if self.may_be_public and session.get_credentials() is None:
            config = config.merge(Config(signature_version=UNSIGNED))
        client = session.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=retries.merge(config),
        )
        client.meta.events.register("before-sign.s3.DeleteObjects", _with_md5)
        return client


def open_client(settings: Settings, *, is_foreign: bool = False) -> Any:
    """A client as the ``FAIR_S3_*`` settings say; nothing is connected yet.

    Args:
        is_foreign: it is for buckets that somebody else keeps, who may show them to everybody.

    Raises:
        StorageError: the endpoint is no URL, or a profile is named that is not configured.
    """
    from botocore.exceptions import BotoCoreError

    try:
        return ArtifactsS3(
            endpoint_url=settings.s3_endpoint or None,
            region_name=settings.s3_region or None,
            path_style=settings.s3_path_style,
            max_attempts=ATTEMPTS,
            may_be_public=is_foreign,
        ).get_client()
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"FAIR_S3_ENDPOINT or AWS_* cannot be used: {redact(str(error))}") from error


def _with_md5(request: Any, **_: Any) -> None:
    """Give a request the Content-MD5 that S3 asks for, instead of the newer header that boto3 sends."""
    body = request.body
    for name in [
        name for name in request.headers if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum"))
    ]:
        del request.headers[name]
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(md5).decode()


@contextmanager
def s3_errors(client: Any, doing: str, bucket: str) -> Iterator[None]:
    """Errors of the client as ``StorageError`` that says what was being done and what to do about it.

    Raises:
        StoreAwayError: the server does not answer, or has a fault of its own.
        StoreRefusesError: it refuses the keys, or has no such bucket.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        is_refusal = status in {401, 403} or error_code(error) == "NoSuchBucket"
        kind = StoreRefusesError if is_refusal else StoreAwayError if status >= 500 else StorageError
        raise kind(f"cannot {doing}: {_answered(client, error, bucket)}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreAwayError(f"cannot {doing}: {_unanswered(client, error)}") from error
    except OSError as error:
        raise StorageError(f"cannot {doing}: {error.strerror or error}") from error


def error_code(error: Any) -> str:
    """The code of a ``ClientError``; for an answer without a body the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_denied(error: Any) -> bool:
    """Whether a ``ClientError`` says that the credentials, or nobody's, may not do this."""
    return error_code(error) in _DENIED


def _answered(client: Any, error: Any, bucket: str) -> str:
    code, server = error_code(error), _server(client)
    if code == "NoSuchBucket":
        return f"{server} has no bucket {bucket!r}: make it, or correct the address or FAIR_ARTIFACTS"
    if code in _DENIED:
        return f"{server} refuses ({code}): {_on_denial(client, bucket)}"
    if code == "RequestTimeTooSkewed":
        return f"the clocks of this machine and of {server} differ too much: set them by NTP"
    if code in _FULL:
        return f"{server} has no space left ({code})"
    message = str(error.response.get("Error", {}).get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"{server} answered {status} {code}: {redact(message)}".rstrip(": ")


def _on_denial(client: Any, bucket: str) -> str:
    from botocore import UNSIGNED

    if client.meta.config.signature_version is UNSIGNED:
        return (
            f"there are no credentials, and {bucket!r} is not public or does not hold it: correct the address, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return (
        f"check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list and read in {bucket!r}, and write "
        "and delete where artifacts are kept"
    )


def _unanswered(client: Any, error: Exception) -> str:
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, NoCredentialsError

    if isinstance(error, NoCredentialsError):
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return f"no S3 server answers at {_server(client)}: check FAIR_S3_ENDPOINT and the network"
    return f"{_server(client)}: {redact(str(error))}"


def _server(client: Any) -> str:
    return redact(str(client.meta.endpoint_url))
