"""Trainings that do not end well: afterwards Dagster, ZenML and the catalog say the same."""

import os
import signal
from pathlib import Path

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import PipelineError, RefusedError
from fair_dagster.fair import Fair
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.finetunes import training as finetunes
from fair_dagster.net.processes import Process
from fair_dagster.orchestration.runs.started import Started
from tests.e2e.conftest import ENDLESS, RAISING, ask, training, until


def zenml_statuses(fair: Fair, started: Started) -> list[str]:
    version = fair.version(started.subject)
    return [run.status for run in fair.services.zenml_runs.list(version_uuid=version.uuid)]


def assert_not_published(fair: Fair, started: Started) -> None:
    """Nothing of it is in the catalog, and nothing of it can get there."""
    assert started.subject not in fair.services.catalog.ids(items.LOCAL_MODELS)
    with pytest.raises(RefusedError, match="training has not finished"):
        fair.promote(started.subject)
    assert fair.version(started.subject).stage == "none"


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            runner = b"fair_dagster.pipelines.runner" in (path / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and runner:
            found.append(int(path.name))
    return found


def test_a_pipeline_that_raises_fails_with_its_cause(fair: Fair) -> None:
    started = fair.finetune(ask("raised", base_model=RAISING))
    with pytest.raises(PipelineError) as failure:
        started.wait()
    for part in ("train_model", "ValueError: the roofs are upside down", "pipeline.py"):
        assert part in str(failure.value)
    assert fair.run(started.run_id).status == "FAILURE"
    assert zenml_statuses(fair, started) == ["failed"]
    assert any("upside down" in line.message for line in fair.logs(started.run_id))
    assert_not_published(fair, started)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found through /proc")
def test_a_training_process_that_is_killed_is_a_failed_run(fair: Fair) -> None:
    started = fair.finetune(ask("killed-child", **ENDLESS))
    run = training(fair, started)
    with pytest.raises(RefusedError, match="being trained"):
        fair.delete(started.subject)
    (child,) = children(run.pid or 0)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(PipelineError, match="was killed"):
        started.wait()
    assert fair.run(started.run_id).status == "FAILURE"
    assert zenml_statuses(fair, started) == ["stopped"]
    assert_not_published(fair, started)


def test_runs_whose_processes_are_killed_are_found_failed(fair: Fair) -> None:
    """One with its training, as a machine that runs out of memory does it, and one whose training would go on."""
    whole, parent = (fair.finetune(ask(name, **ENDLESS)) for name in ("killed-group", "killed-parent"))
    pids = [training(fair, started).pid or 0 for started in (whole, parent)]
    trainers = [child for pid in pids for child in children(pid)]
    assert len(trainers) == 2
    os.killpg(pids[0], signal.SIGKILL)
    os.kill(pids[1], signal.SIGKILL)
    for started in (whole, parent):
        with pytest.raises(PipelineError, match="was killed"):
            started.wait()
        assert {run.id: run.status for run in fair.runs()}[started.run_id] == "FAILURE"
        assert zenml_statuses(fair, started) == ["stopped"]
        assert_not_published(fair, started)
        fair.delete(started.subject)
    until(lambda: not any(Process.of(pid).alive for pid in trainers), "the end of the training processes")


def test_a_run_that_is_stopped_is_cancelled_everywhere(fair: Fair) -> None:
    started = fair.finetune(ask("stopped", **ENDLESS))
    training(fair, started)
    assert fair.stop(started.run_id).status == "CANCELED"
    assert zenml_statuses(fair, started) == ["stopped"]
    with pytest.raises(PipelineError, match="stopped"):
        started.wait()
    with pytest.raises(RefusedError, match="ended already"):
        fair.stop(started.run_id)
    assert_not_published(fair, started)


def test_a_run_that_is_stopped_before_dagster_knows_it_is_cancelled_too(fair: Fair) -> None:
    started = fair.finetune(ask("stopped"))
    assert fair.run(started.run_id).status == "STARTING"
    assert fair.stop(started.run_id).status == "CANCELED"
    assert fair.run(started.run_id).status == "CANCELED"
    assert zenml_statuses(fair, started) == []
    with pytest.raises(PipelineError, match="stopped"):
        started.wait()


def test_a_version_is_not_deleted_in_the_first_seconds_of_its_finetune(fair: Fair) -> None:
    """ZenML has no run yet then, and would give the number to the next request; the log outlives the version."""
    started = fair.finetune(ask("hasty", **ENDLESS))
    assert zenml_statuses(fair, started) == []
    with pytest.raises(RefusedError, match=f"being trained by the Dagster run {started.run_id}"):
        fair.delete(started.subject)
    training(fair, started)
    fair.stop(started.run_id)
    fair.delete(started.subject)
    assert "hasty" not in fair.models(), "a model goes with its last version"
    assert fair.logs(started.run_id)
    assert fair.run(started.run_id).status == "CANCELED"


def test_a_finetune_whose_number_went_to_another_request_trains_neither(fair: Fair) -> None:
    """The version is deleted in ZenML's own dashboard, which knows nothing of Dagster's runs."""
    started = fair.finetune(ask("renumbered"))
    version = fair.version(started.subject)
    fair.services.versions.delete(version.name, version.number)
    owner = allocations.allocate(fair.services, finetunes.check(fair.services, ask("renumbered", epochs=3)))
    assert owner.id == version.id
    with pytest.raises(PipelineError, match="was deleted"):
        started.wait()
    assert zenml_statuses(fair, started) == []
    assert fair.logs(started.run_id)
    fair.delete(owner.id)
