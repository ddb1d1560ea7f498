"""What a user asks for when finetuning, and the form in which it is kept with the ZenML version."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fair_dagster.domain.versions import REQUEST_KEY, VersionRecord

PROMOTION_KEY = "fair-dagster/promotion"
"""The mark that publication leaves on a promoted ZenML version: its place in the order of promotion."""
RUN_KEY = "fair-dagster/run"
"""On a version that was trained: the id of the Dagster run that did it."""
OCI_KEY = "fair-dagster/oci"
"""On a version that was pushed to a registry: the artifact, as ``oci://registry/repository@sha256:…``."""


@dataclass(frozen=True)
class FinetuneRequest:
    """A finetune of one base model version on one dataset version.

    ``base_model`` and ``dataset`` are slugs; their numbers are the exact versions used.
    """

    base_model: str
    base_model_version: int
    dataset: str
    dataset_version: int
    model_name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    description: str | None = None
    user: str | None = None
    rerun_of: str | None = None

    def to_metadata(self) -> dict[str, Any]:
        return {REQUEST_KEY: asdict(self)}

    @classmethod
    def of(cls, version: VersionRecord) -> "FinetuneRequest | None":
        """The request kept with a ZenML version; None for a version that was not made by this system."""
        return cls(**version.request) if version.request else None
