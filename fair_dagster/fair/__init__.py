"""``Fair``: everything a user does, as one Python class; a module a concern, and what its methods return.

Names are loaded on first use, so that importing the package costs nothing. Results are frozen dataclasses with their
units and meaning; items are STAC JSON. ``docs/python.md`` is the tour.

See docs/decisions/0053.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fair_dagster.domain.items.stac import Item
    from fair_dagster.domain.moving import LocalFile
    from fair_dagster.domain.publication.findings import Done, Finding
    from fair_dagster.domain.requests import FinetuneRequest
    from fair_dagster.domain.versions import TrainingRecord, VersionRecord
    from fair_dagster.fair.catalog import Reconciled
    from fair_dagster.fair.conversions import read_predictions, to_frame, to_pystac
    from fair_dagster.fair.installation import Fair
    from fair_dagster.fair.oci.crawls import Crawl
    from fair_dagster.fair.oci.policies import GatekeeperPolicy
    from fair_dagster.fair.oci.registries import Oci
    from fair_dagster.fair.oci.signatures import Attested, SignedFiles
    from fair_dagster.fair.stacks import AppliedStack
    from fair_dagster.flows.base_models.merges import Followed
    from fair_dagster.flows.base_models.registration import Validation
    from fair_dagster.flows.catalog import CheckedItem
    from fair_dagster.flows.datasets import DatasetSpec
    from fair_dagster.flows.finetunes.tracking import Waiting
    from fair_dagster.flows.finetunes.training import Ask
    from fair_dagster.flows.lineage import FoundLineage
    from fair_dagster.flows.moving import Count, Moved
    from fair_dagster.flows.trust.policy import Judgement
    from fair_dagster.imagery.synthesize import SyntheticDataset
    from fair_dagster.oci.artifacts.copying import Copied
    from fair_dagster.oci.artifacts.deleting import Deleted
    from fair_dagster.oci.artifacts.listing import Artifact, Listing
    from fair_dagster.oci.crawl.walking import FoundArtifact, WalkFailure
    from fair_dagster.oci.descriptors import Descriptor, Manifest
    from fair_dagster.oci.images.building import Built
    from fair_dagster.oci.metadata import ModelMetadata
    from fair_dagster.oci.notifications.listener import Listener
    from fair_dagster.oci.pulling import Pulled
    from fair_dagster.oci.pushing import Pushed
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.oci.trust.keys import SigningKey, TrustedKey
    from fair_dagster.oci.trust.policy import Policy
    from fair_dagster.oci.trust.signing import Signed
    from fair_dagster.oci.trust.verifying import FoundSignature, Verification
    from fair_dagster.orchestration.runs.run import Run
    from fair_dagster.orchestration.runs.started import Started
    from fair_dagster.orchestration.workers.answering import Worker
    from fair_dagster.pipelines.zenml.run_records import LogLine
    from fair_dagster.pipelines.zenml.stacks import StackRecord

__all__ = [
    "AppliedStack",
    "Artifact",
    "Ask",
    "Attested",
    "Built",
    "CheckedItem",
    "Copied",
    "Count",
    "Crawl",
    "DatasetSpec",
    "Deleted",
    "Descriptor",
    "Done",
    "Fair",
    "Finding",
    "FinetuneRequest",
    "Followed",
    "FoundArtifact",
    "FoundLineage",
    "FoundSignature",
    "GatekeeperPolicy",
    "Item",
    "Judgement",
    "Listener",
    "Listing",
    "LocalFile",
    "LogLine",
    "Manifest",
    "ModelMetadata",
    "Moved",
    "Oci",
    "Policy",
    "Pulled",
    "Pushed",
    "Reconciled",
    "Reference",
    "Registries",
    "Run",
    "Signed",
    "SignedFiles",
    "SigningKey",
    "StackRecord",
    "Started",
    "SyntheticDataset",
    "TrainingRecord",
    "TrustedKey",
    "Validation",
    "Verification",
    "VersionRecord",
    "Waiting",
    "WalkFailure",
    "Worker",
    "read_predictions",
    "to_frame",
    "to_pystac",
]

_HOMES = {
    "AppliedStack": "fair_dagster.fair.stacks",
    "Artifact": "fair_dagster.oci.artifacts.listing",
    "Ask": "fair_dagster.flows.finetunes.training",
    "Attested": "fair_dagster.fair.oci.signatures",
    "Built": "fair_dagster.oci.images.building",
    "CheckedItem": "fair_dagster.flows.catalog",
    "Copied": "fair_dagster.oci.artifacts.copying",
    "Count": "fair_dagster.flows.moving",
    "Crawl": "fair_dagster.fair.oci.crawls",
    "WalkFailure": "fair_dagster.oci.crawl.walking",
    "DatasetSpec": "fair_dagster.flows.datasets",
    "Deleted": "fair_dagster.oci.artifacts.deleting",
    "Descriptor": "fair_dagster.oci.descriptors",
    "Done": "fair_dagster.domain.publication.findings",
    "Fair": "fair_dagster.fair.installation",
    "Finding": "fair_dagster.domain.publication.findings",
    "FinetuneRequest": "fair_dagster.domain.requests",
    "Followed": "fair_dagster.flows.base_models.merges",
    "FoundArtifact": "fair_dagster.oci.crawl.walking",
    "GatekeeperPolicy": "fair_dagster.fair.oci.policies",
    "Item": "fair_dagster.domain.publication.changes",
    "Judgement": "fair_dagster.flows.trust.policy",
    "Listener": "fair_dagster.oci.notifications.listener",
    "Listing": "fair_dagster.oci.artifacts.listing",
    "LocalFile": "fair_dagster.domain.moving",
    "LogLine": "fair_dagster.pipelines.zenml.run_records",
    "Manifest": "fair_dagster.oci.descriptors",
    "ModelMetadata": "fair_dagster.oci.metadata",
    "Moved": "fair_dagster.flows.moving",
    "Oci": "fair_dagster.fair.oci.registries",
    "Policy": "fair_dagster.oci.trust.policy",
    "Pulled": "fair_dagster.oci.pulling",
    "Pushed": "fair_dagster.oci.pushing",
    "Reconciled": "fair_dagster.fair.catalog",
    "Reference": "fair_dagster.oci.references",
    "Registries": "fair_dagster.oci.registry.registries",
    "FoundLineage": "fair_dagster.flows.lineage",
    "Run": "fair_dagster.orchestration.runs.run",
    "Signed": "fair_dagster.oci.trust.signing",
    "SignedFiles": "fair_dagster.fair.oci.signatures",
    "FoundSignature": "fair_dagster.oci.trust.verifying",
    "SigningKey": "fair_dagster.oci.trust.keys",
    "StackRecord": "fair_dagster.pipelines.zenml.stacks",
    "Started": "fair_dagster.orchestration.runs.started",
    "SyntheticDataset": "fair_dagster.imagery.synthesize",
    "TrainingRecord": "fair_dagster.domain.versions",
    "TrustedKey": "fair_dagster.oci.trust.keys",
    "Validation": "fair_dagster.flows.base_models.registration",
    "Verification": "fair_dagster.oci.trust.verifying",
    "VersionRecord": "fair_dagster.domain.versions",
    "Waiting": "fair_dagster.flows.finetunes.tracking",
    "Worker": "fair_dagster.orchestration.workers.answering",
    "read_predictions": "fair_dagster.fair.conversions",
    "to_frame": "fair_dagster.fair.conversions",
    "to_pystac": "fair_dagster.fair.conversions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
