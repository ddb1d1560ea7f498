"""The MLflow tracking server."""

from collections.abc import Mapping
from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.service import Service


class Mlflow(Service):
    """MLflow on SQLite, which hands artifacts through."""

    key: ClassVar[str] = "mlflow"
    seconds: ClassVar[float] = 180

    def values(self) -> Mapping[str, str]:
        return {"backend_store": f"sqlite:///{self.data / 'mlflow.db'}", "artifacts": str(self.data / "artifacts")}

    def problem(self) -> str:
        return health.http(f"{self.url}/health")

    def variables(self) -> Mapping[str, str]:
        return {"FAIR_TRACKING_URI": self.url, "MLFLOW_TRACKING_URI": self.url}
