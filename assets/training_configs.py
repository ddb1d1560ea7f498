"""The generated YAML of each finetune, the one file that drives it."""

import dagster as dg
import yaml

from fair_dagster.flows.finetunes import allocations, training
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.metadata import request_lineage
from fair_dagster.orchestration.ops.training import finetune_partition
from fair_dagster.orchestration.resources import FairResource


def training_config_asset(slug: str) -> dg.AssetsDefinition:
    """The training configurations of one base model's finetunes."""

    @dg.asset(
        key=keys.training_config(slug),
        partitions_def=keys.finetunes(slug),
        deps=[
            dg.AssetDep(keys.base_model(slug)),
            dg.AssetDep(keys.DATASETS, partition_mapping=dg.AllPartitionMapping()),
        ],
        group_name=keys.FINETUNES_GROUP,
        kinds={"yaml"},
        owners=[keys.OWNER],
        code_version="1",
        description=f"ZenML run configurations of the finetunes of `{slug}`: "
        "defaults, overrides, dataset, weights and runtime.",
    )
    def training_config(context: dg.AssetExecutionContext, fair: FairResource) -> dg.MaterializeResult[None]:
        partition, owner = finetune_partition(context), context.run.tags.get(keys.TAG_ZENML_VERSION)
        request = allocations.require_owner(fair.services.versions, fair.services.settings, partition, owner).request
        path, config = training.write_config(fair.services, partition)
        text = yaml.safe_dump(config, sort_keys=False)
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(str(path)),
                "configuration": dg.MetadataValue.md(f"```yaml\n{text}```"),
                **request_lineage(request),
                "base_model": f"{request.base_model} version {request.base_model_version}",
                "dataset": f"{request.dataset} version {request.dataset_version}",
                "overrides": dg.MetadataValue.json(dict(request.overrides)),
            }
        )

    return training_config
