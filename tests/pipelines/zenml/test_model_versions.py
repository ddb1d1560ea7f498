"""Model versions against a real ZenML."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fair_dagster.domain.errors import NotFoundError, RefusedError, ServiceError
from fair_dagster.pipelines.zenml.environment import zenml_environment
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.runs import Runs
from fair_dagster.settings import Settings


def test_a_listing_does_not_stop_at_a_page(versions: ModelVersions) -> None:
    uuids = [versions.create("paged").uuid for _ in range(25)]
    listed = versions.list("paged")
    assert [record.uuid for record in listed] == uuids
    assert [record.number for record in listed] == list(range(1, 26))


def test_what_was_logged_and_tagged_is_read_back_in_utc(versions: ModelVersions) -> None:
    # Databases round to whole seconds.
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = versions.create("described", tags=["b", "a"])
    versions.log(made.uuid, {"fair/iou": 0.5, "fair/request": {"epochs": 3, "note": None}})
    versions.log(made.uuid, {"fair/iou": 0.6})
    read = versions.get("described", made.number)
    assert read.tags == ("a", "b")
    assert read.training.metrics == {"iou": 0.6}
    assert read.request == {"epochs": 3, "note": None}
    assert read.stage == "none"
    assert before <= read.created <= datetime.now(UTC) + timedelta(seconds=1)


def test_promoting_archives_the_former_production_version(versions: ModelVersions) -> None:
    for _ in range(3):
        versions.create("staged")
    versions.set_stage("staged", 1, "production")
    versions.set_stage("staged", 2, "production")
    versions.set_stage("staged", 3, "archived")
    assert [record.stage for record in versions.list("staged")] == ["archived", "production", "archived"]
    # Back to an older one: a roll-back is a promotion like any other.
    assert versions.set_stage("staged", 1, "production").stage == "production"
    assert [record.stage for record in versions.list("staged")] == ["production", "archived", "archived"]


def test_staging_again_changes_nothing(versions: ModelVersions) -> None:
    versions.create("repeated")
    first = versions.set_stage("repeated", 1, "production")
    assert versions.set_stage("repeated", 1, "production") == first


def test_a_second_demotion_is_refused_instead_of_archiving_another_version(versions: ModelVersions) -> None:
    for number in (1, 2):
        versions.create("demoted")
        versions.set_stage("demoted", number, "archived")
    versions.set_stage("demoted", 1, "none")
    with pytest.raises(RefusedError, match="now v1"):
        versions.set_stage("demoted", 2, "none")
    assert [record.stage for record in versions.list("demoted")] == ["none", "archived"]


def test_an_unknown_stage_is_refused(versions: ModelVersions) -> None:
    with pytest.raises(RefusedError, match="'live' is none of none, staging"):
        versions.set_stage("any", 1, "live")  # type: ignore[arg-type]


def test_a_number_is_used_again_after_deletion_but_not_the_uuid(versions: ModelVersions) -> None:
    versions.create("reused")
    former = versions.create("reused")
    versions.delete("reused", 2)
    latter = versions.create("reused")
    assert latter.number == former.number
    assert latter.uuid != former.uuid


def test_a_prefix_of_a_name_never_stands_for_the_model(versions: ModelVersions) -> None:
    versions.create("prefix-nepal")
    for act in (
        lambda: versions.delete_model("prefix"),
        lambda: versions.delete("prefix", 1),
        lambda: versions.set_stage("prefix", 1, "production"),
        lambda: versions.list("prefix"),
    ):
        with pytest.raises(NotFoundError, match="prefix-nepal"):
            act()
    assert len(versions.list("prefix-nepal")) == 1


def test_an_unknown_version_is_answered_with_those_that_exist(versions: ModelVersions) -> None:
    versions.create("sparse")
    with pytest.raises(NotFoundError, match="there is v1"):
        versions.get("sparse", 9)


def test_a_deleted_model_is_gone_with_its_versions(versions: ModelVersions) -> None:
    versions.create("deleted")
    versions.delete_model("deleted")
    assert "deleted" not in versions.families()
    with pytest.raises(NotFoundError):
        versions.list("deleted")


def test_families_since_a_moment_hold_every_change_of_stage(versions: ModelVersions) -> None:
    versions.create("moved")
    moment = datetime.now(UTC)
    versions.set_stage("moved", 1, "production")
    assert "moved" in versions.families(moment)
    assert "moved" not in versions.families(datetime.now(UTC) + timedelta(seconds=5))


def test_a_run_that_nobody_knows_is_answered_with_a_hint(runs: Runs) -> None:
    with pytest.raises(NotFoundError, match="there is no such run"):
        runs.show("nothing")
    with pytest.raises(NotFoundError, match="there is no such run"):
        runs.mark_stopped("2f3c1c62-0000-4000-8000-000000000000")


def test_a_second_home_in_one_process_is_refused(versions: ModelVersions, tmp_path: Path) -> None:
    versions.families()
    with pytest.raises(ServiceError, match="one FAIR_HOME a process"):
        ModelVersions(Settings(home=tmp_path)).families()


def test_the_environment_stays_inside_the_home_and_leaves_a_server_alone(tmp_path: Path) -> None:
    variables = zenml_environment(Settings(home=tmp_path / "home"))
    assert variables["ZENML_CONFIG_PATH"] == str(tmp_path / "home" / "zenml")
    assert Path(variables["ZENML_LOCAL_STORES_PATH"]).is_relative_to(tmp_path / "home")
    assert variables["ZENML_ANALYTICS_OPT_IN"] == "false"
    assert not any(name.startswith("ZENML_STORE") for name in variables)


def test_numbers_are_not_shared_by_processes_that_allocate_at_once(versions: ModelVersions, settings: Settings) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fair_dagster.pipelines.zenml.model_versions import ModelVersions\n"
        "from fair_dagster.settings import Settings\n"
        "versions = ModelVersions(Settings(home=Path(sys.argv[1])))\n"
        "for _ in range(5):\n"
        "    versions.create('contended')\n"
    )
    command = [sys.executable, "-c", script, str(settings.home)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert [record.number for record in versions.list("contended")] == list(range(1, 11))
