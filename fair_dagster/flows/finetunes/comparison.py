"""Model versions side by side, as a DataFrame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import VersionRecord

if TYPE_CHECKING:
    import pandas as pd


def compare(versions: Sequence[VersionRecord]) -> "pd.DataFrame":
    """A row a version, indexed by version id: stage, parents, overrides (``set …``), metrics, training seconds."""
    import pandas as pd

    return pd.DataFrame([_row(version) for version in versions]).set_index("version")


def _row(version: VersionRecord) -> dict[str, Any]:
    request, record = FinetuneRequest.of(version), version.training
    row: dict[str, Any] = {"version": version.id, "stage": version.stage}
    if request is not None:
        row["base model"] = f"{request.base_model} v{request.base_model_version}"
        row["dataset"] = f"{request.dataset} v{request.dataset_version}"
        row |= {f"set {name}": value for name, value in request.overrides.items()}
    return row | dict(record.metrics) | {"seconds": record.wall_seconds}
