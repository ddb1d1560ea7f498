"""An S3 server with versions, presigned URLs and conditional writes, which forgets all when it stops: moto."""

from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.service import Service


class Moto(Service):
    """Only started when it is named: it takes any credentials and keeps its objects in memory."""

    key: ClassVar[str] = "moto"
    by_default: ClassVar[bool] = False

    def problem(self) -> str:
        return health.http(f"{self.url}/moto-api/")
