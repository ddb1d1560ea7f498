"""Checking finetunes and reruns: every reason at once, and nothing left behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError, ServiceError, StorageError
from fair_dagster.flows.code import changed_since_registration
from fair_dagster.flows.finetunes import allocations, training
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.flows.publication import releases
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings
from tests import factories
from tests.installations import DATASET, MODEL, NAME, Installation


def refused(installation: Installation, **fields: Any) -> RefusedError:
    ask = Ask(**{"base_model": MODEL, "dataset": DATASET, "model_name": NAME, "overrides": {}} | fields)
    with pytest.raises(RefusedError) as caught:
        training.check(installation.services, ask)
    assert installation.versions.families() == ()
    return caught.value


def test_a_good_request_names_the_exact_versions(installation: Installation) -> None:
    request = training.check(installation.services, Ask(MODEL, DATASET, NAME, {"epochs": 3}, title="Ours"))
    assert (request.base_model, request.base_model_version) == (MODEL, 1)
    assert (request.dataset, request.dataset_version) == (DATASET, 1)
    assert (request.overrides, request.title) == ({"epochs": 3}, "Ours")


def test_every_wrong_hyperparameter_and_the_name_are_told_at_once(installation: Installation) -> None:
    overrides = {"epochs": 0, "learning_rate": "fast", "training.seed": True, "epoch": 3, "momentum": 0.9}
    error = refused(installation, overrides=overrides, model_name="Town/Buildings")
    told = "\n".join(error.problems)
    assert len(error.problems) == len(overrides) + 1
    for part in ("'Town/Buildings'", "at least 1, is 0", "must be float", "must be int", "did you mean 'epochs'"):
        assert part in told


@pytest.mark.parametrize(("executor", "stack"), [("celery", "default"), ("celery", ""), ("local", "default")])
def test_workers_do_not_train_where_nobody_could_publish_it(
    installation: Installation, executor: str, stack: str
) -> None:
    settings = installation.services.settings.model_copy(update={"executor": executor})
    services = Services(settings)
    stacks = SimpleNamespace(of_one_machine=lambda: stack)
    services.__dict__.update(versions=installation.versions, stacks=stacks)
    ask = Ask(MODEL, DATASET, NAME, {})
    if executor == "local" or not stack:
        assert training.check(services, ask).model_name == NAME
    else:
        with pytest.raises(RefusedError, match="stack 'default' keeps a model in a folder of the machine"):
            training.check(services, ask)


def test_unknown_base_model_and_dataset_are_told_together(installation: Installation) -> None:
    error = refused(installation, base_model="texture-segmentatoin", dataset="../town")
    assert "did you mean texture-segmentation" in error.problems[0]
    assert "../town" in error.problems[1]


def test_an_unknown_version_of_a_known_base_model_is_refused(installation: Installation) -> None:
    assert f"{MODEL}-v7" in str(refused(installation, base_model=f"{MODEL}-v7"))


def test_an_inactive_base_model_is_refused(installation: Installation) -> None:
    releases.retire(installation.services, items.BASE_MODELS, MODEL)
    assert "deprecated" in str(refused(installation, base_model=f"{MODEL}-v1"))
    assert f"did you mean {MODEL}-v1" in str(refused(installation))


def test_feature_task_and_geometry_have_to_agree(installation: Installation) -> None:
    installation.register_dataset("trees", keywords=("tree", "object-detection", "polygon"))
    problems = refused(installation, dataset="trees").problems
    assert any(problem.startswith("feature differs") for problem in problems)
    assert any(problem.startswith("task differs") for problem in problems)


def test_the_name_of_a_base_model_is_taken(installation: Installation) -> None:
    assert "taken by a base model" in str(refused(installation, model_name=MODEL))


def test_code_that_is_not_here_is_refused(installation: Installation) -> None:
    installation.folder.rename(installation.folder.with_name("moved_away"))
    assert "FAIR_MODELS" in str(refused(installation))


def test_a_version_keeps_the_request_it_was_allocated_for(installation: Installation) -> None:
    version = installation.trained(epochs=3)
    allocation = allocations.allocation_of(installation.services.versions, installation.services.settings, version.id)
    assert (allocation.uuid, allocation.number) == (version.uuid, 1)
    assert allocation.request.overrides == {"epochs": 3}


def test_an_allocation_is_found_in_zenml_when_its_note_is_lost(installation: Installation) -> None:
    version = installation.trained(epochs=3)
    for note in (installation.services.settings.home / "runs" / "allocated").iterdir():
        note.unlink()
    assert allocations.allocation_of(
        installation.services.versions, installation.services.settings, version.id
    ).request.overrides == {"epochs": 3}


def test_an_allocation_that_cannot_be_kept_is_taken_back(installation: Installation) -> None:
    installation.versions.broken["log"] = ServiceError("the database is full")
    request = training.check(installation.services, Ask(MODEL, DATASET, NAME, {}))
    with pytest.raises(ServiceError, match="full"):
        allocations.allocate(installation.services, request)
    assert installation.versions.families() == (), "a model without versions goes too"


def test_taking_back_leaves_earlier_versions_alone(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    first = installation.trained()
    request = training.check(installation.services, Ask(MODEL, DATASET, NAME, {}))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            allocations.allocate(installation.services, request)
    assert installation.versions.stages(NAME) == {first.number: "none"}
    assert (
        allocations.allocation_of(installation.services.versions, installation.services.settings, first.id).uuid
        == first.uuid
    )


def test_a_rerun_has_the_same_configuration_for_another_version(installation: Installation) -> None:
    first = installation.trained(epochs=3, seed=11)
    request = training.check_rerun(installation.services, NAME, first.number)
    second = allocations.allocate(installation.services, request)
    _, config = training.write_config(installation.services, second.id)
    assert config["model"] == {"name": NAME, "version": 2}
    assert config["parameters"]["hyperparameters"]["seed"] == 11
    assert request.rerun_of == first.id


def test_a_version_of_unknown_making_cannot_be_run_again(installation: Installation) -> None:
    installation.versions.create("made-elsewhere")
    with pytest.raises(RefusedError, match="no training configuration"):
        training.check_rerun(installation.services, "made-elsewhere", 1)
    with pytest.raises(NotFoundError):
        training.check_rerun(installation.services, "made-elsewhere", 2)


def test_a_published_version_is_not_trained_over(installation: Installation) -> None:
    version = installation.trained()
    assert training.training_command(installation.services, version.id)
    installation.promote(version)
    with pytest.raises(RefusedError, match="rerun town-buildings-v1"):
        training.training_command(installation.services, version.id)


def test_code_that_changed_since_its_registration_is_not_trained(installation: Installation) -> None:
    version = installation.trained()
    (installation.folder / "pipeline.py").write_text("# edited\n" + (installation.folder / "pipeline.py").read_text())
    with pytest.raises(RefusedError, match="has changed since version 1 of it was registered"):
        training.check(installation.services, training.Ask(MODEL, DATASET, NAME, {}))
    with pytest.raises(RefusedError, match="has changed since version 1"):
        training.check_rerun(installation.services, NAME, version.number)
    with pytest.raises(RefusedError, match="has changed since version 1"):
        training.training_command(installation.services, version.id)
    installation.register_base_model()
    assert training.check(installation.services, training.Ask(MODEL, DATASET, NAME, {})).base_model_version == 2
    with pytest.raises(RefusedError, match="finetune its newest version, or restore version 1"):
        training.check_rerun(installation.services, NAME, version.number)


def test_code_that_changed_on_the_branch_is_told_by_what_can_be_done_there(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", models_repo=str(tmp_path / "origin"))
    (settings.models / "ramp").mkdir(parents=True)
    item = factories.base_model(**{items.UID: "another", "mlm:name": "ramp"})
    item["assets"] = {
        "source-code": {"href": "x", "mlm:entrypoint": "models.ramp.pipeline:train", "roles": ["mlm:source_code"]}
    }
    (active,) = changed_since_registration(settings, item)
    assert active.startswith("models/ramp on the branch 'main' has changed since version 1")
    assert active.endswith("`fair-dagster base-model sync` registers it; or bring version 1 back on the branch")
    item["properties"]["deprecated"] = True
    (former,) = changed_since_registration(settings, item)
    assert former.endswith("finetune its newest version, or bring version 1 back on the branch")


def test_a_published_version_can_be_run_again_without_its_run_folder(installation: Installation) -> None:
    version = installation.trained(epochs=3)
    installation.promote(version)
    training.config_path(installation.services.settings, version.id, version.uuid).unlink()
    request = training.check_rerun(installation.services, NAME, version.number)
    again = allocations.allocate(installation.services, request)
    _, config = training.write_config(installation.services, again.id)
    assert config["parameters"]["hyperparameters"]["epochs"] == 3
