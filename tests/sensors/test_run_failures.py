"""Failed runs reach a real receiver over HTTP, from a real Dagster instance; ZenML's runs are in memory."""

import hashlib
import hmac
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from pydantic import SecretStr

from fair_dagster.domain.errors import SEE_LOG, ServiceError, UnexplainedError
from fair_dagster.domain.failures import FULL, OVERLAP, FailureEvent, Queue, Telling, telling
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import alerts, keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.run_config import QUIET
from fair_dagster.pipelines.zenml.run_records import RunRecord
from fair_dagster.settings import Settings
from sensors.run_failures import failure_sensors
from tests.sensors.receiver import Receiver, receiving

SECRET = "what only the two know"
PARTITION = "town-buildings-v1"
FINETUNE = keys.finetune_job("texture-segmentation")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FakeZenmlRuns:
    """One ZenML run that goes on, of the version ``uuid``."""

    def __init__(self) -> None:
        self.stopped: dict[str, str] = {}
        self.down = False
        self.hurried = False

    def hurry(self) -> None:
        self.hurried = True

    def list(self, *, version_uuid: str, limit: int = 50) -> list[RunRecord]:
        assert self.hurried, "a patient client tries for longer than a tick may last"
        if self.down:
            raise ServiceError("ZenML does not answer")
        status = "stopped" if version_uuid in self.stopped else "running"
        return [RunRecord(version_uuid, "run", status, "p", None, None, None, None)]

    def mark_stopped(self, run: str, reason: str) -> None:
        self.stopped[run] = reason


class Sensor:
    """The sensor with its cursor, ticked as the daemon does: the cursor of a tick that raises is forgotten."""

    def __init__(self, instance: dg.DagsterInstance, services: Services) -> None:
        self.instance, self.services = instance, services
        self.cursor: str | None = None
        (self.definition,) = failure_sensors(services.settings)

    def tick(self) -> str:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = cast(dg.SensorResult, self.definition(context, fair=FairResource()))
        self.cursor = result.cursor
        assert result.skip_reason is not None
        return result.skip_reason.skip_message or ""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(alerts, "PAUSES", (0.0, 0.0))
    with receiving() as found:
        yield found


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Settings(home=tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def make(
    tmp_path: Path, instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Sensor]:
    def sensor(**fields: Any) -> Sensor:
        hook = {"alert_webhook": SecretStr(receiver.url), "dagster_url": "http://dagster.example.org"}
        services = Services(Settings(home=tmp_path / "home", **(hook | fields)))
        services.__dict__["zenml_runs"] = FakeZenmlRuns()
        monkeypatch.setattr(FairResource, "services", services)
        made = Sensor(instance, services)
        assert "beginning now" in made.tick()
        return made

    return sensor


def fail(
    instance: dg.DagsterInstance, cause: str | Exception = "no space left", printed: str = "epoch 1 of 3", **tags: str
) -> str:
    """A real run that fails in its only step; its id."""

    @dg.op
    def train() -> None:
        sys.stderr.write(f"{printed}\n")
        raise cause if isinstance(cause, Exception) else ValueError(cause)

    @dg.job(name=FINETUNE)
    def finetune() -> None:
        train()

    run_id = str(uuid4())
    finetune.execute_in_process(
        instance=instance, raise_on_error=False, run_config=dict(QUIET), run_id=run_id, tags={"fair/model": "m"} | tags
    )
    return run_id


def daemon_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """A run that goes on, as the daemon starts it from a code location."""
    location = RegisteredCodeLocationOrigin("here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), FINETUNE)
    run = dg.DagsterRun(FINETUNE, str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags, remote_job_origin=origin)
    return instance.add_run(run)


def test_a_failed_run_is_told_with_its_cause_and_the_log_of_its_step(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    tags = {"dagster/partition": PARTITION, keys.TAG_ZENML_VERSION: "uuid"}
    run_id = fail(instance, **tags)
    assert sensor.tick() == "told of 1 failed runs"
    (alert,) = receiver.taken
    assert (alert["id"], alert["run_id"], alert["job"]) == (f"run-failure-{run_id}", run_id, FINETUNE)
    assert (alert["partition"], alert["version"], alert["model"]) == (PARTITION, PARTITION, "m")
    assert (alert["step"], alert["cause"]) == ("train", "no space left")
    assert any("epoch 1 of 3" in line for line in alert["log"])
    assert alert["url"] == f"http://dagster.example.org/runs/{run_id}"
    assert "no space left" in alert["text"]
    assert alert["started"] <= alert["ended"]
    sensor.tick()
    assert sensor.services.zenml_runs.stopped == {"uuid": "the Dagster run that trained it failed"}


def test_what_failed_before_the_first_tick_is_not_told(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    fail(instance)
    sensor = make()
    assert sensor.tick() == "no run has failed"
    assert receiver.requests == []


def test_a_receiver_that_stumbles_is_asked_again_within_the_tick(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    fail(instance)
    receiver.answers = [500, 429]
    sensor.tick()
    assert [headers["answered"] for headers, _ in receiver.requests] == ["500", "429", "200"]
    assert len({alert["id"] for alert in receiver.taken}) == 1


def test_an_alert_outlives_a_receiver_that_is_down_for_several_ticks(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    receiver.down = True
    first = fail(instance, "first")
    assert "it answered 503" in sensor.tick()
    for _ in range(3):
        with pytest.raises(ServiceError, match="it answered 503"):
            sensor.tick()
    second = fail(instance, "second")
    assert "it answered 503" in sensor.tick()
    receiver.down = False
    assert sensor.tick() == "told of 2 failed runs"
    assert [alert["run_id"] for alert in receiver.taken] == [first, second]
    assert sensor.tick() == "no run has failed"
    assert len(receiver.taken) == 2


def test_nobody_at_the_address_is_said_without_the_address(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    sensor = make(alert_webhook=SecretStr("http://127.0.0.1:9/hooks/a-secret-path"), alert_secret=SecretStr(SECRET))
    fail(instance)
    said = sensor.tick()
    assert "nothing answers there" in said
    with pytest.raises(ServiceError) as raised:
        sensor.tick()
    for text in (said, str(raised.value), str(sensor.cursor)):
        assert "a-secret-path" not in text
        assert SECRET not in text


def test_the_address_is_in_no_log(
    make: Callable[..., Sensor],
    instance: dg.DagsterInstance,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sensor = make(alert_secret=SecretStr(SECRET))
    fail(instance)
    with caplog.at_level(logging.DEBUG):
        sensor.tick()
    assert len(receiver.taken) == 1
    assert "a-secret-path" not in caplog.text
    assert SECRET not in caplog.text


def test_a_receiver_can_verify_who_sent_an_alert(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make(alert_secret=SecretStr(SECRET))
    fail(instance)
    sensor.tick()
    ((headers, body),) = receiver.requests
    signed = headers["X-Fair-Timestamp"].encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Fair-Signature"] == f"sha256={expected}"


def test_a_message_that_is_refused_does_not_block_the_others(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    fail(instance, "first")
    second = fail(instance, "second")
    receiver.answers = [413]
    assert "answered 413" in sensor.tick()
    assert [alert["run_id"] for alert in receiver.taken] == [second]


def test_without_a_webhook_the_sensor_says_so_and_still_ends_trainings_in_zenml(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make(alert_webhook=None)
    fail(instance, **{"dagster/partition": PARTITION, keys.TAG_ZENML_VERSION: "uuid"})
    assert sensor.tick() == "FAIR_ALERT_WEBHOOK is not set: nobody is told"
    sensor.tick()
    assert "uuid" in sensor.services.zenml_runs.stopped
    assert receiver.requests == []


def test_zenml_that_is_down_keeps_nobody_from_hearing_and_is_told_later(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    zenml = sensor.services.zenml_runs
    zenml.down = True
    fail(instance, **{"dagster/partition": PARTITION, keys.TAG_ZENML_VERSION: "uuid"})
    assert sensor.tick() == "told of 1 failed runs"
    assert len(receiver.taken) == 1
    with pytest.raises(ServiceError, match="ZenML does not answer"):
        sensor.tick()
    zenml.down = False
    sensor.tick()
    assert "uuid" in zenml.stopped
    assert len(receiver.taken) == 1


def test_a_tick_that_zenml_holds_up_until_dagster_ends_it_tells_nobody_twice(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = make()

    def silent(*_: Any, **__: Any) -> None:
        raise TimeoutError("Dagster has ended the tick")

    monkeypatch.setattr(FakeZenmlRuns, "hurry", silent)
    first = fail(instance, "first", **{"dagster/partition": PARTITION, keys.TAG_ZENML_VERSION: "uuid"})
    sensor.tick()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            sensor.tick()
    second = fail(instance, "second", **{"dagster/partition": PARTITION, keys.TAG_ZENML_VERSION: "uuid"})
    sensor.tick()
    assert [alert["run_id"] for alert in receiver.taken] == [first, second]


def test_a_log_that_cannot_be_read_keeps_nobody_from_hearing(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise ConnectionError("the bucket is away")

    sensor = make()
    monkeypatch.setattr(type(instance.compute_log_manager), "get_log_data", away)
    fail(instance, "no space left")
    fail(instance, UnexplainedError("it ended"))
    assert sensor.tick() == "told of 2 failed runs"
    assert [alert["cause"] for alert in receiver.taken] == ["no space left", f"it ended; {SEE_LOG}"]
    assert [alert["log"] for alert in receiver.taken] == [[], []]
    assert sensor.tick() == "no run has failed"


def test_a_cause_that_cannot_be_read_is_told_as_such(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> None:
        raise ValueError("an event of another release")

    sensor = make()
    monkeypatch.setattr("fair_dagster.orchestration.runs.failures.failed_step", unreadable)
    monkeypatch.setattr("fair_dagster.orchestration.runs.causes.failed_step", unreadable)
    run_id = fail(instance)
    sensor.tick()
    (alert,) = receiver.taken
    assert (alert["run_id"], alert["step"]) == (run_id, None)
    assert "cannot be read" in alert["cause"]


def test_what_is_wrong_with_one_run_neither_loses_it_nor_holds_up_the_others(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = make()
    first, second = fail(instance, "first"), fail(instance, "second")
    read = type(instance).get_run_record_by_id

    def odd(self: dg.DagsterInstance, run_id: str) -> dg.RunRecord | None:
        if run_id == first:
            raise ValueError("not a run")
        return read(self, run_id)

    with monkeypatch.context() as patched:
        patched.setattr(type(instance), "get_run_record_by_id", odd)
        assert f"run {first} could not be told of: ValueError: not a run" in sensor.tick()
    sensor.tick()
    assert [alert["run_id"] for alert in receiver.taken] == [second, first]


def test_an_alert_holds_no_password_of_a_url(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make(dagster_url="https://user:p@s3cret@dagster.example.org/")
    run_id = fail(instance, "cannot read https://user:a/s3cret@host/r.git", printed="get https://s3cret@host/file")
    sensor.tick()
    (alert,) = receiver.taken
    assert "s3cret" not in str(alert)
    assert alert["url"] == f"https://dagster.example.org/runs/{run_id}"
    assert "cannot read https://***@host/r.git" in alert["text"]
    assert any("get https://***@host/file" in line for line in alert["log"])


def test_an_alert_leads_to_where_people_find_dagster(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make(dagster_url="http://webserver:3000", dagster_public_url="https://dagster.example.org/")
    run_id = fail(instance)
    sensor.tick()
    (alert,) = receiver.taken
    assert alert["url"] == f"https://dagster.example.org/runs/{run_id}"


def test_a_receiver_that_leads_elsewhere_is_not_followed(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    with receiving() as elsewhere:
        sensor = make()
        receiver.headers = {"Location": elsewhere.url}
        receiver.answers = [307, 308, 302]
        fail(instance)
        assert "it answered 302" in sensor.tick()
        assert elsewhere.requests == []
    assert len(receiver.requests) == 3
    receiver.headers = {}
    assert sensor.tick() == "told of 1 failed runs"


def test_one_message_is_not_tried_for_as_long_as_a_tick_lasts(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = make()
    monkeypatch.setattr(alerts, "TRYING_SECONDS", -1.0)
    receiver.down = True
    fail(instance)
    sensor.tick()
    assert len(receiver.requests) == 1


def test_a_training_that_goes_on_again_is_not_ended(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    tags = {"dagster/partition": PARTITION, keys.TAG_ZENML_VERSION: "uuid"}
    fail(instance, **tags)
    instance.add_run(
        dg.DagsterRun(job_name=FINETUNE, run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
    )
    sensor.tick()
    sensor.tick()
    assert sensor.services.zenml_runs.stopped == {}
    assert len(receiver.taken) == 1


def test_a_run_that_is_retried_speaks_when_the_last_attempt_has_failed(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = make()
    first, retry = daemon_run(instance), daemon_run(instance, **{"dagster/max_retries": "0"})
    instance.report_run_failed(first)
    sensor.tick()
    assert receiver.requests == []
    instance.add_run_tags(first.run_id, {"dagster/auto_retry_run_id": retry.run_id})
    instance.report_run_failed(retry)
    sensor.tick()
    assert [alert["run_id"] for alert in receiver.taken] == [retry.run_id]


def test_a_run_of_the_command_line_that_was_killed_is_told_at_once(
    make: Callable[..., Sensor], instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    """Dagster announces its retry, and then finds that no code location has started it."""
    sensor = make()
    run = instance.add_run(dg.DagsterRun("work", str(uuid4()), status=dg.DagsterRunStatus.STARTED))
    instance.report_run_failed(run)
    sensor.tick()
    assert [alert["run_id"] for alert in receiver.taken] == [run.run_id]


def test_a_retry_that_never_comes_is_told_after_a_while() -> None:
    def told(since: datetime | None, *, retried: bool = False) -> Telling:
        return telling(will_retry=True, retried=retried, known_since=since, now=NOW)

    assert told(None) is Telling.WAIT
    assert told(NOW - timedelta(minutes=9)) is Telling.WAIT
    assert told(NOW - timedelta(minutes=11)) is Telling.TELL
    assert told(NOW - timedelta(minutes=11), retried=True) is Telling.DROP


def events(numbers: Mapping[int, str]) -> list[FailureEvent]:
    return [FailureEvent(number, run_id) for number, run_id in sorted(numbers.items())]


def test_an_event_that_shows_after_a_higher_number_is_not_lost_and_none_counts_twice() -> None:
    """PostgreSQL hands out numbers before transactions are visible."""
    queue = Queue(10).take(events({11: "a", 13: "c"})).told("a").told("c")
    queue = queue.take(events({11: "a", 12: "b", 13: "c"}))
    assert queue.untold == ("b",)
    assert queue.read_after < 11


def test_what_the_queue_remembers_does_not_grow_with_time() -> None:
    queue = Queue(-1)
    for number in range(5 * OVERLAP):
        queue = queue.take(events({number: f"run {number}"})).told(f"run {number}").ended(f"run {number}")
    assert len(queue.seen) == OVERLAP
    assert Queue.parse(queue.dump()) == queue


def test_a_full_queue_takes_up_nothing_and_forgets_nothing() -> None:
    full = Queue(-1).take(events({number: f"run {number}" for number in range(FULL)}))
    assert full.take(events({FULL: "one more"})) == full


@pytest.mark.parametrize("cursor", [None, "", "{", "[]", '{"position": 3}', '{"position":1,"seen":[],"untold":1}'])
def test_a_cursor_that_is_no_queue_is_an_empty_one(cursor: str | None) -> None:
    assert Queue.parse(cursor) is None
