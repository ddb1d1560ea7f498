"""The ZenML run of each training configuration, and the model version it filled."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fair_dagster.orchestration import keys
from fair_dagster.orchestration.ops.training import run_training


def finetuned_model_asset(slug: str, tags: Mapping[str, Any] | None = None) -> dg.AssetsDefinition:
    """The finetunes of one base model.

    Args:
        tags: on the step that trains: what the executor is to give it.
    """
    train = run_training.tag(dict(tags)) if tags else run_training

    @dg.graph_asset(
        key=keys.finetuned_model(slug),
        partitions_def=keys.finetunes(slug),
        ins={"training_config": dg.AssetIn(keys.training_config(slug), dagster_type=dg.Nothing)},
        group_name=keys.FINETUNES_GROUP,
        kinds={"zenml", "onnx"},
        owners=[keys.OWNER],
        code_version="1",
        description=f"Finetunes of `{slug}`, trained by ZenML in a process of their own.",
    )
    def finetuned_model(training_config: Any) -> Any:
        return train(start=training_config)

    return finetuned_model
