"""Runs whose partition is deleted while they wait: refused before they do anything that could not be recorded."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.finetunes import training as finetunes
from fair_dagster.flows.publication import families
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.ops import training
from tests.installations import DATASET, MODEL, NAME, Installation


def test_a_partition_deleted_while_its_run_is_queued_fails_it_before_it_does_anything(
    installation: Installation, launched: Callable[..., Any]
) -> None:
    """The catalog and ZenML then disagree still, and the sensor asks again: by name, or with the partition anew."""
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    installation.promote(second)
    installation.versions.delete(NAME, second.number)
    before = installation.published()
    result = launched(dg.RunRequest("key", job_name=keys.publish_job(MODEL), partition_key=second.id))

    assert told_by(result) == [
        f"publication of '{second.id}' was refused:\n  - its partition was deleted after the run had been queued; "
        "the stage sensor asks again where it must"
    ]
    assert installation.published() == before
    families.recompute(installation.services, NAME)
    assert installation.published() == {first.id: False}


def test_a_finetune_whose_partition_was_deleted_while_it_was_queued_trains_nothing(
    installation: Installation, launched: Callable[..., Any]
) -> None:
    request = finetunes.check(installation.services, finetunes.Ask(MODEL, DATASET, NAME, {}))
    version = allocations.allocate(installation.services, request)
    tags = {keys.TAG_ZENML_VERSION: version.uuid}
    result = launched(dg.RunRequest("key", job_name=keys.finetune_job(MODEL), partition_key=version.id, tags=tags))

    assert told_by(result) == [
        f"training of '{version.id}' was refused:\n  - its partition was deleted after the run had been queued; "
        "nothing was trained; start the finetune again"
    ]
    assert not finetunes.config_path(installation.services.settings, version.id, version.uuid).exists()


def test_a_partition_deleted_between_configuration_and_training_trains_nothing(
    installation: Installation, launched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainings wait for each other between the two steps."""
    request = finetunes.check(installation.services, finetunes.Ask(MODEL, DATASET, NAME, {}))
    version = allocations.allocate(installation.services, request)
    partitions = keys.finetunes_name(MODEL)

    found = training.finetune_partition

    def deleted(context: dg.OpExecutionContext) -> str:
        context.instance.delete_dynamic_partition(partitions, version.id)
        return found(context)

    monkeypatch.setattr(training, "finetune_partition", deleted)
    monkeypatch.setattr(dg.PipesSubprocessClient, "run", lambda *_, **__: pytest.fail("it was trained"))
    started = dg.RunRequest("key", job_name=keys.finetune_job(MODEL), partition_key=version.id)
    result = launched(started, kept=True)
    (told,) = told_by(result)
    assert told.startswith(f"training of '{version.id}' was refused:")


def told_by(result: Any) -> list[str]:
    """What the steps of a run failed with."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    causes = [error.cause.message if error.cause else error.message for error in errors]
    return [cause.partition(": ")[2].strip() for cause in causes]


@pytest.fixture
def launched(
    installation: Installation, instance: dg.DagsterInstance, act_on: Callable[[Any], None]
) -> Callable[..., Any]:
    """Executes a request whose partition is deleted between queue and start, unless it is to be ``kept``."""

    def execute(request: dg.RunRequest, *, kept: bool = False) -> Any:
        from dagster._core.definitions.job_base import InMemoryJob
        from dagster._core.execution.api import execute_run

        settings = installation.services.settings
        act_on(installation.services)
        definitions = build_defs(settings=settings)
        partitions = keys.finetunes_name(MODEL)
        instance.add_dynamic_partitions(partitions, [str(request.partition_key)])
        job = definitions.resolve_job_def(str(request.job_name))
        tags = {**request.tags, "dagster/partition": str(request.partition_key)}
        run = instance.create_run_for_job(job, tags=tags)
        if not kept:
            instance.delete_dynamic_partition(partitions, str(request.partition_key))
        return execute_run(InMemoryJob(job), run, instance, raise_on_error=False)

    return execute
