"""The promoted versions in a registry: each one pushed once, with its item, card and configuration."""

from typing import Any

import dagster as dg

from fair_dagster.orchestration import keys
from fair_dagster.orchestration.ops.registries import push_artifacts
from fair_dagster.settings import Settings


def oci_artifact_asset(slug: str, settings: Settings) -> dg.AssetsDefinition:
    """The artifacts of the promoted finetunes of one base model."""

    @dg.graph_asset(
        key=keys.oci_artifact(slug),
        partitions_def=keys.finetunes(slug),
        ins={"local_model": dg.AssetIn(keys.local_model(slug), dagster_type=dg.Nothing)},
        group_name=keys.OCI_GROUP,
        kinds={"oci", "onnx"},
        owners=[keys.OWNER],
        code_version="1",
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_of_run),
        description=f"Promoted finetunes of `{slug}` as artifacts of the registry that FAIR_OCI_REPOSITORY names.",
    )
    def oci_artifact(local_model: Any) -> Any:
        return push_artifacts(start=local_model)

    return oci_artifact
