"""The merges sensor on real git repositories and a real catalog; runs are executed in this process."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.domain.merges import MergesCursor
from fair_dagster.fair import Fair
from fair_dagster.flows.base_models import git, merges
from fair_dagster.flows.base_models.branch import Repository, current_checkout
from fair_dagster.orchestration import keys, reload
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.run_config import QUIET, config_of
from fair_dagster.settings import Settings
from sensors import merges as sensor_module
from tests.sensors.repositories import Scratch


@dataclass
class Watched:
    """A repository, an installation that follows it, and an instance whose sensor keeps its cursor here."""

    scratch: Scratch
    settings: Settings
    instance: dg.DagsterInstance
    cursor: str | None = None
    keys: list[str] = field(default_factory=list)

    def fresh(self, **changes: Any) -> Settings:
        """The settings as a new run reads them: pinned to the checkout that is current now."""
        values = self.settings.model_dump(exclude={"models", "alert_webhook", "alert_secret"}) | changes
        return Settings(**values).pinned()

    def tick(self) -> dg.SensorResult:
        fair = FairResource(values=self.fresh().plain())
        definitions = build_defs(settings=self.settings)
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=definitions, resources={"fair": fair}
        )
        result = definitions.resolve_sensor_def(keys.MERGES_SENSOR)(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def run(self, request: dg.RunRequest) -> bool:
        """Execute a request as the daemon would, which starts no run twice under one key."""
        assert request.run_key is not None
        tags = {**request.tags, "dagster/run_key": request.run_key, "dagster/sensor_name": keys.MERGES_SENSOR}
        if request.run_key in self.keys:
            return True
        self.keys.append(request.run_key)
        settings = self.fresh()
        overrides = {"fair": FairResource(values=settings.plain())}
        job = build_defs(settings=settings, resource_overrides=overrides).resolve_job_def(str(request.job_name))
        config = {**request.run_config, **QUIET}
        return job.execute_in_process(config, instance=self.instance, tags=tags, raise_on_error=False).success

    def follow(self) -> dict[str, bool]:
        """A tick and its runs: each folder, and whether its run went well."""
        return {folder_of(request): self.run(request) for request in syncs(self.tick())}

    def published(self) -> dict[str, bool]:
        """Ids of the base models, and whether each is active."""
        services = FairResource(values=self.fresh().plain()).services
        return {item["id"]: items.is_active(item) for item in services.catalog.items(items.BASE_MODELS)}

    def lose(self, request: dg.RunRequest) -> None:
        """Record the run of a request as one whose process was killed."""
        tags = {"dagster/run_key": str(request.run_key), "dagster/sensor_name": keys.MERGES_SENSOR}
        self.instance.add_run(
            dg.DagsterRun(job_name=keys.SYNC_JOB, run_id="0" * 8, status=dg.DagsterRunStatus.FAILURE, tags=tags)
        )


def syncs(result: dg.SensorResult) -> list[dg.RunRequest]:
    return [request for request in result.run_requests or [] if request.job_name == keys.SYNC_JOB]


def folder_of(request: dg.RunRequest) -> str:
    return str(config_of(request.run_config, keys.SYNC_OP)["folder"])


def folders(result: dg.SensorResult) -> list[str]:
    return [folder_of(request) for request in syncs(result)]


@pytest.fixture
def watch(tmp_path: Path, schema_cache: Path) -> Callable[[], Watched]:
    def watched() -> Watched:
        scratch = Scratch.at(tmp_path / "origin")
        settings = Settings(
            home=tmp_path / "home", schema_cache=schema_cache, offline=True, models_repo=str(scratch.path)
        )
        return Watched(scratch, settings, dg.DagsterInstance.ephemeral())

    return watched


@pytest.fixture
def watched(watch: Callable[[], Watched]) -> Watched:
    """A branch with the valid base model ``alpha``, in step with the catalog."""
    found = watch()
    found.scratch.add_base_model("alpha")
    found.scratch.commit("Add alpha")
    assert found.follow() == {"alpha": True}
    return found


@pytest.fixture
def broken(watch: Callable[[], Watched]) -> Watched:
    """A branch with one commit, whose only folder is not valid: cheap where only requests matter."""
    found = watch()
    found.scratch.add_broken_model("alpha")
    found.scratch.commit("Add alpha")
    return found


def test_a_new_folder_is_registered_by_a_run_that_names_its_cause(watched: Watched) -> None:
    assert watched.published() == {"alpha": True}
    (record,) = watched.instance.get_run_records()
    head = watched.scratch.git("rev-parse", "HEAD")
    assert record.dagster_run.tags[keys.TAG_COMMIT] == head
    assert record.dagster_run.tags[keys.TAG_CAUSE] == f"{head[:10]} Add alpha"
    assert record.dagster_run.tags[keys.TAG_MODEL] == "alpha"
    event = watched.instance.get_latest_materialization_event(keys.base_model("alpha"))
    assert event is not None
    assert event.asset_materialization is not None
    assert {"changes", "lineage", "version"} <= event.asset_materialization.metadata.keys()


def test_nothing_is_asked_for_while_the_branch_stands_still(watched: Watched) -> None:
    result = watched.tick()
    assert not result.run_requests
    assert "main" in str(result.skip_reason)


def test_a_changed_folder_becomes_the_next_version_and_the_others_are_left_alone(watched: Watched) -> None:
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Add beta")
    assert watched.follow() == {"beta_two": True}
    watched.scratch.write("models/alpha/README.md", "Better.")
    watched.scratch.commit("Improve alpha")
    assert watched.follow() == {"alpha": True}
    assert watched.published() == {"alpha": True, "alpha-v1": False, "beta-two": True}


def test_a_removed_folder_deprecates_its_item_and_one_that_comes_back_is_active_again(watched: Watched) -> None:
    watched.scratch.remove("models/alpha")
    watched.scratch.commit("Remove alpha")
    assert watched.follow() == {"alpha": True}
    assert watched.published() == {"alpha-v1": False}
    watched.scratch.git("revert", "--no-edit", "HEAD")
    assert watched.follow() == {"alpha": True}
    assert watched.published() == {"alpha": True}
    watched.scratch.remove("models/alpha")
    watched.scratch.commit("Remove alpha again")
    assert watched.follow() == {"alpha": True}
    assert watched.published() == {"alpha-v1": False}


def test_a_renamed_folder_is_one_that_was_removed_and_one_that_is_new(watched: Watched) -> None:
    watched.scratch.add_base_model("gamma")
    watched.scratch.remove("models/alpha")
    watched.scratch.commit("Rename alpha")
    assert watched.follow() == {"alpha": True, "gamma": True}
    assert watched.published() == {"alpha-v1": False, "gamma": True}


def test_a_folder_that_leaves_its_slug_to_another_spelling_retires_nothing(watched: Watched) -> None:
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Add beta")
    watched.follow()
    watched.scratch.git("mv", "models/beta_two", "models/beta-two")
    watched.scratch.commit("Spell it with a hyphen")
    assert watched.follow() == {}
    assert watched.published() == {"alpha": True, "beta-two": True}


def test_a_move_back_to_an_older_commit_is_followed_however_often(watched: Watched) -> None:
    first = watched.scratch.git("rev-parse", "HEAD")
    watched.scratch.write("models/alpha/README.md", "Better.")
    second = watched.scratch.commit("Improve alpha")
    assert watched.follow() == {"alpha": True}
    for commit, active in ((first, "1"), (second, "2"), (first, "1")):
        watched.scratch.git("reset", "--quiet", "--hard", commit)
        assert watched.follow() == {"alpha": True}
        services = FairResource(values=watched.fresh().plain()).services
        (item,) = [item for item in services.catalog.items(items.BASE_MODELS) if items.is_active(item)]
        assert item["properties"]["version"] == active


def test_commits_that_ship_nothing_else_start_no_run(watched: Watched) -> None:
    watched.scratch.write("README.md", "About.")
    watched.scratch.commit("Outside")
    watched.scratch.write("models/README.md", "About.")
    watched.scratch.commit("Beside the folders")
    (watched.scratch.models / "alpha" / "pipeline.py").chmod(0o755)
    watched.scratch.commit("A mode")
    watched.scratch.write("models/notes/todo.md", "A folder that is no base model.")
    watched.scratch.commit("Notes")
    watched.scratch.write("models/alpha/tests/test_it.py", "")
    watched.scratch.commit("Tests are not shipped")
    assert not watched.tick().run_requests


def test_a_merge_commit_brings_what_its_branch_changed(watched: Watched) -> None:
    watched.scratch.git("checkout", "--quiet", "-b", "contribution")
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Add beta")
    watched.scratch.git("checkout", "--quiet", "main")
    watched.scratch.write("README.md", "About.")
    watched.scratch.commit("Meanwhile")
    watched.scratch.git("merge", "--quiet", "--no-ff", "--no-edit", "contribution")
    assert watched.follow() == {"beta_two": True}


def test_a_broken_folder_fails_its_run_and_is_tried_again_by_the_commit_that_repairs_it(watched: Watched) -> None:
    watched.scratch.add_broken_model("bad")
    watched.scratch.add_base_model("good")
    watched.scratch.commit("Add one of each")
    assert watched.follow() == {"bad": False, "good": True}
    (failed,) = watched.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    assert keys.TAG_REFUSED in failed.dagster_run.tags
    watched.scratch.write("README.md", "Elsewhere.")
    watched.scratch.commit("Elsewhere")
    assert watched.follow() == {}
    watched.scratch.remove("models/bad")
    watched.scratch.add_base_model("bad")
    watched.scratch.commit("Repair it")
    assert watched.follow() == {"bad": True}


def test_an_odd_version_in_a_contributed_item_is_no_failure_of_ours(watched: Watched) -> None:
    """``int`` refuses "²", of which ``isdigit`` says yes: the run failed unrefused, and was repeated for ever."""
    item = orjson.loads((watched.scratch.models / "alpha" / "stac-item.json").read_bytes())
    item["properties"]["version"] = "²"
    watched.scratch.write("models/alpha/stac-item.json", orjson.dumps(item).decode())
    watched.scratch.commit("An odd version")
    ended = watched.follow()["alpha"]
    (record,) = watched.instance.get_run_records(limit=1)
    assert ended or keys.TAG_REFUSED in record.dagster_run.tags


def test_a_fix_inside_a_merge_commit_is_a_cause_of_its_own(watched: Watched) -> None:
    """``git log`` shows no difference for a merge: the run had the key of the refused one, and was never started."""
    scratch, item = watched.scratch, watched.scratch.models / "alpha" / "stac-item.json"
    good = item.read_text()
    scratch.git("checkout", "--quiet", "-b", "fix")
    scratch.write("models/alpha/README.md", "One side.")
    scratch.commit("One side")
    scratch.git("checkout", "--quiet", "main")
    scratch.write("models/alpha/README.md", "The other side.")
    scratch.write("models/alpha/stac-item.json", "{}")
    scratch.commit("Break alpha")
    assert watched.follow() == {"alpha": False}
    scratch.git("merge", "--quiet", "--no-commit", "--strategy=ours", "fix")
    scratch.write("models/alpha/README.md", "Both sides.")
    scratch.write("models/alpha/stac-item.json", good)
    scratch.commit("Merge, and mend alpha")
    (request,) = syncs(watched.tick())
    assert request.run_key not in watched.keys
    assert watched.run(request)
    assert watched.published() == {"alpha": True, "alpha-v1": False}


def test_two_folders_with_one_slug_fail_the_run_of_the_one_too_many(watched: Watched) -> None:
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Add beta")
    watched.follow()
    watched.scratch.add_broken_model("beta-two")
    watched.scratch.commit("Take its slug")
    assert watched.follow() == {"beta-two": False}
    assert watched.published() == {"alpha": True, "beta-two": True}
    with pytest.raises(RefusedError, match="models/beta_two as well"):
        merges.sync(FairResource(values=watched.fresh().plain()).services, "beta-two")
    watched.scratch.write("models/beta_two/README.md", "Better.")
    watched.scratch.commit("Improve the one that was there first")
    assert watched.follow() == {"beta_two": True}
    watched.scratch.remove("models/beta_two")
    watched.scratch.commit("Leave the slug to the other")
    assert watched.follow() == {"beta-two": False}
    # A run for the folder that is gone may still be queued.
    with pytest.raises(RefusedError, match="models/beta-two was refused"):
        merges.sync(FairResource(values=watched.fresh().plain()).services, "beta_two")
    assert watched.published() == {"alpha": True, "beta-two": True, "beta-two-v1": False}


@pytest.mark.parametrize("cursor", [None, "garbage", MergesCursor(commit="f" * 40).to_json()])
def test_without_a_usable_cursor_every_folder_is_compared_with_the_catalog(
    watched: Watched, cursor: str | None
) -> None:
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Add beta")
    watched.follow()
    watched.scratch.write("models/alpha/README.md", "Better.")
    watched.scratch.remove("models/beta_two")
    watched.scratch.commit("Change one, remove one")
    register_from_elsewhere(watched, "stranger")
    watched.cursor = cursor
    assert watched.follow() == {"alpha": True, "beta_two": True}
    assert watched.published() == {
        "alpha": True,
        "alpha-v1": False,
        "beta-two-v1": False,
        # Not of this branch, so its absence there says nothing.
        "stranger": True,
    }
    watched.cursor = cursor
    assert watched.follow() == {}


def register_from_elsewhere(watched: Watched, folder: str) -> None:
    """Register a base model that the branch never held."""
    from fair_dagster.flows.base_models import registration
    from fair_dagster.flows.services import Services

    elsewhere = Scratch.at(watched.settings.home.parent / "elsewhere")
    elsewhere.add_base_model(folder)
    settings = watched.fresh(models_repo="", models=elsewhere.models)
    registration.register(Services(settings), elsewhere.models / folder)


def test_a_replay_from_an_empty_cursor_asks_for_the_same_runs(broken: Watched) -> None:
    first = [request.run_key for request in syncs(broken.tick())]
    broken.cursor = None
    assert [request.run_key for request in syncs(broken.tick())] == first


def test_history_that_was_rewritten_is_followed_when_the_old_commit_is_unknown(
    watched: Watched, tmp_path: Path
) -> None:
    watched.scratch.git("checkout", "--quiet", "--orphan", "new")
    watched.scratch.remove("models/alpha")
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Begin again")
    watched.scratch.git("branch", "--force", "main", "new")
    shutil.rmtree(watched.settings.repository_path / "mirror.git")
    # The history of the branch does not hold alpha any more: whose it is cannot be told.
    assert watched.follow() == {"beta_two": True}
    assert watched.published() == {"alpha": True, "beta-two": True}


def test_a_force_push_removes_what_the_new_history_does_not_hold(watched: Watched) -> None:
    watched.scratch.git("checkout", "--quiet", "--orphan", "new")
    watched.scratch.remove("models/alpha")
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Begin again")
    watched.scratch.git("branch", "--force", "main", "new")
    assert watched.follow() == {"alpha": True, "beta_two": True}
    assert watched.published() == {"alpha-v1": False, "beta-two": True}


@pytest.mark.parametrize("kind", ["bare", "shallow", "url"])
def test_a_bare_a_shallow_and_a_remote_repository_are_followed(broken: Watched, tmp_path: Path, kind: str) -> None:
    broken.scratch.write("README.md", "More history.")
    broken.scratch.commit("More")
    options = {"bare": ["--bare"], "shallow": ["--depth=1", "--no-local"], "url": ["--bare"]}[kind]
    target = tmp_path / "copy"
    broken.scratch.git("clone", "--quiet", *options, f"file://{broken.scratch.path}", str(target))
    broken.settings = broken.fresh(models_repo=f"file://{target}" if kind == "url" else str(target))
    assert folders(broken.tick()) == ["alpha"]


def test_runs_of_a_tick_are_bounded_and_the_rest_follows(watch: Callable[[], Watched]) -> None:
    watched = watch()
    names = [f"model{number:03}" for number in range(merges.MOST_RUNS + 7)]
    for name in names:
        watched.scratch.add_broken_model(name)
    watched.scratch.commit("Add many")
    first, second = folders(watched.tick()), folders(watched.tick())
    # The runs of the first were never recorded in this test, so they are asked for again under their keys.
    assert len(first) == merges.MOST_RUNS
    assert len(second) == merges.MOST_RUNS
    waiting = MergesCursor.from_json(watched.cursor).waiting
    assert sorted({*first, *second, *waiting}) == names


def test_a_run_that_was_lost_is_asked_for_again_and_a_refused_one_is_not(broken: Watched) -> None:
    (request,) = syncs(broken.tick())
    assert broken.run(request) is False
    assert not syncs(broken.tick())
    broken.scratch.write("models/alpha/README.md", "Still broken.")
    broken.scratch.commit("Touch it")
    (request,) = syncs(broken.tick())
    broken.lose(request)
    (again,) = syncs(broken.tick())
    assert again.run_key == f"{request.run_key}:2"
    assert MergesCursor.from_json(broken.cursor).opened["alpha"].attempt == 2


def test_a_run_that_goes_on_is_awaited(broken: Watched) -> None:
    (request,) = syncs(broken.tick())
    tags = {"dagster/run_key": str(request.run_key), "dagster/sensor_name": keys.MERGES_SENSOR}
    status = dg.DagsterRunStatus.STARTED
    broken.instance.add_run(dg.DagsterRun(job_name=keys.SYNC_JOB, run_id="1" * 8, status=status, tags=tags))
    assert not syncs(broken.tick())
    assert "alpha" in MergesCursor.from_json(broken.cursor).opened


def test_a_change_of_schemas_checks_the_items_once(broken: Watched) -> None:
    broken.tick()
    broken.scratch.write("schemas/keywords.json", "{}")
    commit = broken.scratch.commit("Add a keyword")
    requests = [request for request in broken.tick().run_requests or [] if request.job_name == keys.COLLECTIONS_JOB]
    assert [request.tags[keys.TAG_COMMIT] for request in requests] == [commit]
    assert all(request.job_name != keys.COLLECTIONS_JOB for request in broken.tick().run_requests or [])


def test_without_a_repository_the_sensor_says_so(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models=tmp_path / "models")
    definitions = build_defs(settings=settings)
    context = dg.build_sensor_context(
        definitions=definitions,
        instance=dg.DagsterInstance.ephemeral(),
        resources={"fair": FairResource(values=settings.plain())},
    )
    skipped = definitions.resolve_sensor_def(keys.MERGES_SENSOR)(context)
    assert isinstance(skipped, dg.SkipReason)
    assert "FAIR_MODELS_REPO" in str(skipped.skip_message)


def test_a_repository_that_cannot_be_read_fails_the_tick_and_removes_nothing(watched: Watched) -> None:
    cursor = watched.cursor
    away = watched.scratch.path.rename(watched.scratch.path.with_name("away"))
    with pytest.raises(ServiceError, match="git could not read"):
        watched.tick()
    assert watched.cursor == cursor
    assert watched.published() == {"alpha": True}
    away.rename(watched.scratch.path)
    assert watched.follow() == {}


def test_an_empty_repository_and_a_missing_branch_are_told_clearly(watch: Callable[[], Watched]) -> None:
    watched = watch()
    with pytest.raises(ServiceError, match="no branch 'main', or no commit on it"):
        watched.tick()
    watched.scratch.add_broken_model("alpha")
    watched.scratch.commit("Add alpha")
    watched.settings = watched.fresh(models_branch="release")
    with pytest.raises(ServiceError, match="set FAIR_MODELS_BRANCH"):
        watched.tick()


def test_a_branch_without_base_models_reads_as_one(watch: Callable[[], Watched]) -> None:
    watched = watch()
    watched.scratch.write("README.md", "About.")
    watched.scratch.commit("Begin")
    assert not watched.tick().run_requests


def test_a_damaged_item_does_not_hold_up_the_other_folders(watched: Watched) -> None:
    watched.scratch.write("models/alpha/README.md", "Better.")
    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Two at once")
    (path,) = (watched.settings.catalog_path / "base-models" / "alpha").rglob("*.json")
    path.write_text('{"trunca')
    assert watched.follow()["beta_two"] is True
    assert path.read_text() == '{"trunca'


def test_a_folder_whose_name_is_no_utf8_is_left_out_and_the_others_go_on(broken: Watched) -> None:
    strange = Path(f"{broken.scratch.models}/ra\udcffmp")
    try:
        strange.mkdir()
    except OSError:
        pytest.skip("the disk takes UTF-8 names only")
    (strange / "stac-item.json").write_text("{}")
    broken.scratch.commit("Add a strange name")
    assert folders(broken.tick()) == ["alpha"]


def test_new_folders_are_reloaded_once_a_checkout(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sensor_module, "ask_for_reload", lambda url, _location: asked.append(url))
    watched.settings = Settings(**watched.fresh().plain() | {"dagster_url": "http://ui.example"})
    watched.scratch.add_broken_model("beta_two")
    watched.scratch.commit("Add beta")
    loaded = watched.settings
    watched.tick()
    watched.tick()
    assert asked == ["http://ui.example"]
    watched.settings = watched.fresh()
    assert watched.settings.models != loaded.models
    watched.tick()
    assert asked == ["http://ui.example"]


def test_a_ui_that_does_not_answer_keeps_no_run_from_starting(broken: Watched) -> None:
    broken.settings = broken.fresh(dagster_url="http://127.0.0.1:9")
    assert folders(broken.tick()) == ["alpha"]
    assert MergesCursor.from_json(broken.cursor).reloaded == ""
    with pytest.raises(ServiceError, match="cannot be asked to reload"):
        reload.ask_for_reload("http://127.0.0.1:9", "here")


def test_a_run_that_a_newer_commit_overtakes_ends_with_the_newer_one(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = FairResource(values=watched.fresh().plain()).services
    watched.scratch.write("models/alpha/README.md", "Better.")
    watched.scratch.commit("Improve alpha")
    register = merges.registration.register

    def slow(*arguments: Any, **options: Any) -> Any:
        done = register(*arguments, **options)
        monkeypatch.setattr(merges.registration, "register", register)
        watched.tick()
        return done

    monkeypatch.setattr(merges.registration, "register", slow)
    merges.sync(services, "alpha")
    assert watched.published() == {"alpha": True, "alpha-v1": False}


@pytest.mark.parametrize("command", ["cat-file", "checkout", "log", "ls-tree", "rev-parse"])
def test_git_processes_that_die_retire_nothing_and_leave_nothing_behind(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """It was read as "models/ was removed", and the empty checkout was kept for good."""
    run = git.run

    def dying(arguments: Any, *others: Any, **options: Any) -> Any:
        done = run(arguments, *others, **options)
        return subprocess.CompletedProcess(done.args, -9, b"", b"") if command in arguments else done

    watched.scratch.add_base_model("beta_two")
    watched.scratch.commit("Add beta")
    watched.cursor = None
    with monkeypatch.context() as patched, contextlib.suppress(ServiceError):
        patched.setattr(git, "run", dying)
        assert "alpha" not in watched.follow()
    watched.follow()
    assert watched.published() == {"alpha": True, "beta-two": True}


def test_without_a_checkout_nothing_is_taken_for_removed(watched: Watched) -> None:
    (watched.settings.repository_path / "current").unlink()
    with pytest.raises(ServiceError, match="no checkout"):
        merges.sync(FairResource(values=watched.fresh().plain()).services, "alpha")
    assert watched.published() == {"alpha": True}
    assert orjson.loads(str(watched.cursor))["commit"]


def test_a_checkout_stays_while_a_run_may_import_from_it(watched: Watched) -> None:
    before = watched.fresh().models
    watched.scratch.write("models/alpha/README.md", "Better.")
    watched.scratch.commit("Improve alpha")
    Repository(watched.settings).checkout(Repository(watched.settings).fetch())
    assert before.is_dir()
    assert current_checkout(watched.settings.repository_path) == watched.fresh().models.parent != before.parent


def test_syncing_by_hand_does_what_the_sensor_would(watched: Watched) -> None:
    watched.scratch.add_broken_model("bad")
    watched.scratch.write("models/alpha/README.md", "Better.")
    watched.scratch.commit("Two at once")
    fair = Fair(watched.settings)
    alpha, bad = fair.sync_base_models()
    assert (alpha.result, alpha.problems) == ("version 2 is active", ())
    assert bad.result == "refused"
    assert len(bad.problems) > 1
    # What lives longer than a commit sees the new one without being made anew.
    assert fair.validate_base_model("alpha").subject == str(watched.fresh().models / "alpha")
    assert folders(watched.tick()) == ["bad"]
