"""Names of ``fair.zenml.steps``."""

from typing import Any

from zenml import step
from zenml.client import Client

__all__ = ["load_model"]


@step  # type: ignore[untyped-decorator]
def load_model(model_uri: str, zenml_artifact_version_id: str = "") -> Any:
    """Load a trained model from the artifact store, by its artifact version or by its URI."""
    if zenml_artifact_version_id:
        return Client().get_artifact_version(zenml_artifact_version_id).load()
    found = Client().list_artifact_versions(uri=model_uri, size=1).items
    if not found:
        raise FileNotFoundError(f"no artifact of this ZenML lies at {model_uri}")
    return found[0].load()
