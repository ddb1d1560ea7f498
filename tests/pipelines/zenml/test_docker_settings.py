"""What a generated configuration says of the image, as ZenML reads it. Building and running it needs an engine."""

from fair_dagster.domain.items.images import IMAGE
from fair_dagster.domain.training_config import training_config
from fair_dagster.pipelines.zenml.environment import prepare
from fair_dagster.settings import Settings
from tests.factories import base_model, dataset, finetune_request

PINNED = "ghcr.io/hotosm/ramp@sha256:" + "a" * 64


def test_zenml_takes_the_pinned_image_as_it_is_and_builds_nothing(settings: Settings) -> None:
    prepare(settings)
    from zenml.config import DockerSettings
    from zenml.config.pipeline_run_configuration import PipelineRunConfiguration

    model = base_model()
    model["assets"]["mlm:training"] |= {"href": "docker://ghcr.io/hotosm/ramp:v1", IMAGE: PINNED}
    config = training_config(finetune_request(), 1, model, dataset())
    read = PipelineRunConfiguration(**config)
    docker = DockerSettings.model_validate(read.settings["docker"].model_dump())
    assert docker.parent_image == PINNED
    assert docker.skip_build
    # The code of models/ reaches the container by the artifact store.
    assert docker.allow_download_from_artifact_store
