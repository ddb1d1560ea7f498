"""The sensors between the catalog and registries as Dagster calls them, over real registries."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import dagster as dg
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError, ServiceError, UnreachableError
from fair_dagster.domain.registries.assets import oci_href
from fair_dagster.flows.publication.families import recompute
from fair_dagster.flows.registries import arrivals, pushes
from fair_dagster.flows.registries.artifacts import push_item
from fair_dagster.flows.registries.pushes import PushLimits, look
from fair_dagster.flows.services import Services
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.notifications.inbox import Inbox
from fair_dagster.oci.notifications.listener import Listener
from fair_dagster.oci.notifications.pushes import Push, PushesCursor
from fair_dagster.oci.pushing import Part, attach, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.trust.bundles import BUNDLE_TYPE
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from tests.flows.conftest import NAME, Installation
from tests.oci.servers import push_image
from tests.sensors.notifying import notifying_registry
from tests.services.servers import RegistryServer


@dataclasses.dataclass
class Watching:
    """An installation that watches a repository of a registry, and its sensor with a daemon's part."""

    installation: Installation
    services: Services
    place: Reference
    instance: dg.DagsterInstance
    cursor: str | None = None

    def push(self, tag: str, content: bytes = b"weights") -> Reference:
        parts = [Part(content, "model.joblib")]
        return push(self.services.registries, self.place.with_tag(tag), parts, ModelMetadata("town")).pinned

    def look(self, limits: PushLimits | None = None) -> pushes.PushesLook:
        """A look at tags whatever the time, as the sensor's next tick would have it."""
        found = look(self.services, dataclasses.replace(PushesCursor.parse(self.cursor), polled=0), limits)
        self.cursor = found.cursor.dump()
        return found

    def news(self, limits: PushLimits | None = None) -> list[Reference]:
        return [one.reference for one in self.look(limits).models]

    def tick(self, sensor: str = keys.PUSHES_SENSOR) -> list[dg.RunRequest]:
        definitions = build_defs(settings=self.services.settings)
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=definitions)
        result = definitions.resolve_sensor_def(sensor)(context, fair=FairResource())
        if isinstance(result, dg.SkipReason):
            return []
        result = cast(dg.SensorResult, result)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        return list(result.run_requests or [])

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        definitions = build_defs(settings=self.services.settings)
        return definitions.resolve_job_def(str(request.job_name)).execute_in_process(
            run_config=request.run_config,
            instance=self.instance,
            tags=request.tags,
            partition_key=request.partition_key,
            raise_on_error=False,
        )


@pytest.fixture
def watch(
    installation: Installation, instance: dg.DagsterInstance, act_on: Callable[[Any], None]
) -> Callable[..., Watching]:
    def begin(host: str, **settings: Any) -> Watching:
        place = f"{host}/{uuid4().hex[:8]}"
        told = {
            "offline": False,
            "registries": (host,),
            "oci_watch": (f"{place}/town",),
            "oci_image": "data",
            "oci_poll_seconds": 3600,
        } | settings
        services = Services(installation.services.settings.model_copy(update=told))
        services.__dict__["versions"] = cast(ModelVersions, installation.versions)
        act_on(services)
        own = dataclasses.replace(installation, services=services)
        return Watching(own, services, Reference.parse(f"{place}/town:v1"), instance)

    return begin


@pytest.fixture
def watching(watch: Callable[..., Watching], docker_registry: RegistryServer) -> Watching:
    return watch(docker_registry.host)


# Tags


def test_a_pushed_model_is_news_once_and_a_moved_tag_is_news_again(watching: Watching) -> None:
    assert watching.news() == [], "nobody has pushed anything, and the repository is not there"
    first = watching.push("v1")
    assert watching.news() == [first]
    assert watching.news() == []
    second = watching.push("v1", b"other weights")
    assert watching.news() == [second]
    # The same content under another tag is another look, and the same run.
    watching.push("latest", b"other weights")
    assert [one.key for one in watching.look().models] == [f"oci:{second}"]


def test_images_signatures_and_indexes_are_no_models(watching: Watching) -> None:
    model = watching.push("v1")
    attach(watching.services.registries, model, "application/vnd.dev.sigstore.bundle.v0.3+json", [Part(b"{}", "x")])
    host = f"http://{model.registry}"
    push_image(host, model.repository, "image")
    push_image(host, model.repository, "index", index=True)
    assert watching.news() == [model]


def test_a_tag_whose_manifest_is_gone_hinders_no_other(watching: Watching) -> None:
    gone = watching.push("v1")
    watching.services.registries.delete_manifest(gone)
    other = watching.push("v2", b"other weights")
    found = watching.look()
    assert [one.reference for one in found.models] == [other]
    assert found.is_whole


def test_many_tags_are_looked_at_in_turns_and_none_is_left_out(watching: Watching) -> None:
    pushed = {watching.push(f"v{number}", str(number).encode()) for number in range(7)}
    looks = [watching.look(PushLimits(models=3, lookups=8)) for _ in range(4)]
    assert {one.reference for found in looks for one in found.models} == pushed
    assert max(len(found.models) for found in looks) <= 3
    assert [found.is_whole for found in looks] == [False, False, True, True]


def test_all_repositories_below_a_prefix(watch: Callable[..., Watching], docker_registry: RegistryServer) -> None:
    prefix = uuid4().hex[:8]
    watching = watch(docker_registry.host, oci_watch=(f"oci://{docker_registry.host}/{prefix}/*",))
    pushed = []
    for name in ("a", "b/c"):
        watching.place = Reference.parse(f"{docker_registry.host}/{prefix}/{name}:v1")
        pushed.append(watching.push("v1"))
    watching.place = Reference.parse(f"{docker_registry.host}/{prefix}x/d:v1")
    watching.push("v1")
    assert sorted(map(str, watching.news())) == sorted(map(str, pushed))


@pytest.mark.parametrize("pattern", ["", "registry", "127.0.0.1:5000/UP", "r.example/a:tag", "r.example/a*"])
def test_a_watched_repository_that_is_none_is_refused(watching: Watching, pattern: str) -> None:
    services = Services(watching.services.settings.model_copy(update={"oci_watch": (pattern,)}))
    with pytest.raises(RefusedError):
        look(services, PushesCursor())


def test_a_registry_that_is_away_is_no_empty_one(watching: Watching) -> None:
    first = watching.push("v1")
    assert watching.news() == [first]
    before = PushesCursor.parse(watching.cursor)
    away = ("127.0.0.1:9/fair/town", str(watching.services.settings.oci_watch[0]))
    told = {"oci_watch": away, "registries": (*watching.services.settings.registries, "127.0.0.1:9")}
    watching.services = Services(watching.services.settings.model_copy(update=told))
    second = watching.push("v2", b"second")
    found = watching.look()
    assert [one.reference for one in found.models] == [second], "the other registry is looked at"
    assert len(found.problems) == 1
    assert PushesCursor.parse(watching.cursor).seen[away[1]]["v1"] == before.seen[away[1]]["v1"]


def test_a_tick_that_learns_nothing_fails_and_keeps_its_cursor(watch: Callable[..., Watching]) -> None:
    watching = watch("127.0.0.1:9")
    watching.cursor = PushesCursor(0, {"127.0.0.1:9/a": {"v1": "x"}}).dump()
    before = watching.cursor
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9"):
        watching.tick()
    assert watching.cursor == before


def test_a_registry_that_asks_for_a_password_is_told_as_such(
    watch: Callable[..., Watching], protected_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    watching = watch(protected_registry.host)
    Inbox(watching.services.settings.oci_inbox_path).put(Push(watching.place.repository, "sha256:" + "0" * 64))
    with pytest.raises(ServiceError, match=r"(?s)401|log in|credentials"):
        watching.tick()
    assert len(Inbox(watching.services.settings.oci_inbox_path).waiting()) == 1


# Notifications


def test_a_forged_or_repeated_notification_is_harmless(watching: Watching) -> None:
    model = watching.push("v1")
    inbox = Inbox(watching.services.settings.oci_inbox_path)
    forged = [Push(model.repository, "sha256:" + "0" * 64), Push("elsewhere/x", str(model.digest))]
    for one in (*forged, Push(model.repository, str(model.digest))):
        inbox.put(one)
    watching.cursor = PushesCursor(time.time()).dump()
    assert [request.run_key for request in watching.tick()] == [f"oci:{model}"]
    assert len(inbox.waiting()) == 3, "the runs are not started yet"
    assert watching.tick() == []
    assert inbox.waiting() == {}
    inbox.put(Push(model.repository, str(model.digest)))
    # Dagster starts no run twice under one key.
    assert [request.run_key for request in watching.tick()] == [f"oci:{model}"]


def test_notifications_that_lead_nowhere_leave_room_for_tags(watching: Watching) -> None:
    model = watching.push("v1")
    inbox = Inbox(watching.services.settings.oci_inbox_path)
    for number in range(9):
        inbox.put(Push(model.repository, f"sha256:{number}" + "0" * 63))
    assert watching.news(PushLimits(lookups=8)) == [model]
    assert len(PushesCursor.parse(watching.cursor).answered) == 4


def test_a_notification_waits_while_the_registry_is_away(watch: Callable[..., Watching]) -> None:
    watching = watch("127.0.0.1:9")
    inbox = Inbox(watching.services.settings.oci_inbox_path)
    inbox.put(Push(watching.place.repository, "sha256:" + "0" * 64))
    for _ in range(2):
        found = look(watching.services, PushesCursor(time.time()))
        assert (found.cursor.answered, len(found.problems)) == ((), 1)
    assert len(inbox.waiting()) == 1


@pytest.fixture
def notifying(watch: Callable[..., Watching], installation: Installation, tmp_path: Path) -> Iterator[Watching]:
    """A registry that posts to a listener that fills the inbox."""
    inbox = Inbox(installation.services.settings.oci_inbox_path)
    with Listener("127.0.0.1", 0, "geheim", inbox) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.server_address[1]}/notifications"
        with notifying_registry(tmp_path / "registry", url, "geheim") as host:
            yield watch(host)
        listener.shutdown()


def test_from_a_push_to_an_item_and_an_image(notifying: Watching) -> None:
    """What the registry says over the wire becomes one run, which registers the model and builds its image."""
    installation = notifying.installation
    installation.promote(installation.trained())
    item = installation.active(items.LOCAL_MODELS, NAME)
    pinned = push_item(notifying.services, NAME, notifying.place).pinned
    # As if it came from elsewhere.
    installation.versions.delete_model(NAME)
    recompute(notifying.services, NAME)
    notifying.cursor = PushesCursor(time.time()).dump()
    request = _first(notifying)
    assert request.tags[keys.TAG_ARTIFACT] == str(pinned)
    assert notifying.run(request).success
    registered = installation.active(items.BASE_MODELS, NAME)
    assert oci_href(registered) == f"oci://{pinned}"
    assert registered["assets"]["model"]["file:checksum"] == item["assets"]["model"]["file:checksum"]
    image = notifying.services.registries.image_manifest(
        notifying.place.with_tag(f"{str(pinned.digest).removeprefix('sha256:')[:12]}-data")
    )
    assert image.subject is not None
    assert image.subject.digest == pinned.digest
    events = notifying.instance.get_latest_materialization_event(keys.base_model(NAME))
    assert events is not None
    # The registry reports pushes in their order: when it has reported the next model, it has reported the image.
    later = notifying.push("later", b"other weights")
    assert _first(notifying).tags[keys.TAG_ARTIFACT] == str(later)
    assert notifying.run(request).success, "a second time changes nothing"
    assert len(notifying.services.catalog.family(items.BASE_MODELS, NAME)) == 1


def _first(watching: Watching) -> dg.RunRequest:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if requests := watching.tick():
            return requests[0]
        time.sleep(0.05)
    raise AssertionError("the registry told nobody")


def test_a_refused_model_fails_its_run_with_the_reason(watching: Watching) -> None:
    object.__setattr__(watching.services.settings, "require_signed", True)
    model = watching.push("v1")
    (request,) = watching.tick()
    done = watching.run(request)
    assert not done.success
    assert [event.step_key for event in done.all_events if event.is_step_failure] == [keys.PUSHED_OP]
    run = watching.instance.get_run_by_id(done.run_id)
    assert run is not None
    assert str(model) in run.tags[keys.TAG_REFUSED]
    with pytest.raises(NotFoundError):
        watching.services.registries.digest_of(model.with_tag(f"{str(model.digest)[7:19]}-data"))


@pytest.mark.parametrize("heard", ["tags", "notification"])
def test_a_signature_that_comes_later_is_news_of_the_model(watching: Watching, heard: str) -> None:
    """Pushed, refused as unsigned, signed: nobody has to push it again."""
    object.__setattr__(watching.services.settings, "require_signed", True)
    model = watching.push("v1")
    assert watching.news() == [model]
    bundle = [Part(b"{}", "bundle")]
    signature = attach(watching.services.registries, model, BUNDLE_TYPE, bundle)
    if heard == "tags":
        found = watching.look().models
    else:
        Inbox(watching.services.settings.oci_inbox_path).put(Push(model.repository, signature.digest))
        found = look(watching.services, PushesCursor(time.time())).models
    assert [one.reference for one in found] == [model]
    assert found[0].key.startswith(f"oci:{model}:signed-")
    # By whatever way it is heard of, it is one signature; and an image beside it is none.
    attach(watching.services.registries, model, "application/vnd.oci.image.config.v1+json", [Part(b"{}", "image")])
    assert {one.key for one in watching.look().models} <= {found[0].key}


def test_a_run_waits_for_a_registry_that_is_away(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fair_dagster.orchestration.ops.registries.PATIENCE_SECONDS", 0)
    model = watching.push("v1")
    (request,) = watching.tick()
    real, calls = arrivals.check, []

    def check(services: Services, reference: str) -> arrivals.CheckedArrival:
        calls.append(reference)
        if len(calls) == 1:
            raise UnreachableError(f"registry {model.registry} does not answer")
        return real(services, reference)

    monkeypatch.setattr(arrivals, "check", check)
    assert watching.run(request).success
    assert len(calls) == 2


# Promoted models


def test_promoted_models_are_pushed_by_runs_of_their_partitions(watching: Watching) -> None:
    root = f"{watching.place.registry}/{uuid4().hex[:8]}"
    object.__setattr__(watching.services.settings, "oci_repository", root)
    version = watching.installation.trained()
    assert watching.tick(keys.ARTIFACTS_SENSOR) == []
    watching.installation.promote(version)
    (request,) = watching.tick(keys.ARTIFACTS_SENSOR)
    assert request.partition_key == version.id
    assert watching.tick(keys.ARTIFACTS_SENSOR) == [], "its run was asked for"
    assert watching.run(request).success
    href = oci_href(watching.installation.active(items.LOCAL_MODELS, NAME))
    assert href is not None
    assert href.startswith(f"oci://{root}/{NAME}@sha256:")
    watching.cursor = None
    assert watching.tick(keys.ARTIFACTS_SENSOR) == []
    event = watching.instance.get_latest_materialization_event(keys.oci_artifact("texture-segmentation"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["artifact"].value == href


def test_a_push_that_failed_is_asked_for_again_in_the_next_hour(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"oci_repository": "127.0.0.1:9/fair", "registries": ("127.0.0.1:9",)}
    for name, value in told.items():
        object.__setattr__(watching.services.settings, name, value)
    watching.installation.promote(watching.installation.trained())
    (request,) = watching.tick(keys.ARTIFACTS_SENSOR)
    failed = watching.run(request)
    assert not failed.success
    assert watching.tick(keys.ARTIFACTS_SENSOR) == []
    watching.cursor = str(watching.cursor).replace('"hour": "20', '"hour": "19')
    (again,) = watching.tick(keys.ARTIFACTS_SENSOR)
    assert again.partition_key == request.partition_key
