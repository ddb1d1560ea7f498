"""What a step on another machine reads, and what is refused before it is started there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.pipelines import training as training_module
from fair_dagster.pipelines.inputs import local_input, require_reachable, step_environment
from fair_dagster.pipelines.training import Training
from fair_dagster.pipelines.zenml.client import open_client
from fair_dagster.settings import Settings
from fair_dagster.storage.local import describe, describe_content
from fair_dagster.storage.opening import open_bucket

S3: dict[str, Any] = {
    "parameters": {
        "base_model_weights": "https://models.example.org/w.skops",
        "dataset_chips": "s3://towns/chips",
        "dataset_labels": "s3://towns/labels.geojson",
    },
    "extra": {"fair": {"inputs": {"s3://towns/labels.geojson": {"file:size": 7, "file:checksum": "1220ab"}}}},
}
LOCAL = {"parameters": {name: f"/home/fair/{name}" for name in S3["parameters"]}}


class Recorded:
    """A pipeline that notes how it was started."""

    name = "training_pipeline"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def with_options(self, **options: Any) -> Any:
        self.options = options
        return lambda: None


@pytest.fixture
def begin(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a training on a stack of a flavor of orchestrator; returns what ZenML was given."""
    client = open_client(settings)
    recorded = Recorded()
    monkeypatch.setattr(Training, "find_pipeline", lambda _self: recorded)
    monkeypatch.setattr(Training, "read_completed", lambda _self: None)

    def start(flavor: str, addresses: dict[str, Any], **changed: Any) -> dict[str, Any]:
        stack = type("Stack", (), {"name": "team", "orchestrator": type("Orchestrator", (), {"flavor": flavor})})
        of_flavor = type("Client", (), {"zen_store": client.zen_store, "active_stack": stack})
        monkeypatch.setattr(training_module, "open_client", lambda _settings: of_flavor)
        here, there = tmp_path / "training.local.yaml", tmp_path / "training.yaml"
        here.write_text(yaml.safe_dump(LOCAL))
        there.write_text(yaml.safe_dump(addresses))
        Training(settings.model_copy(update=changed), here, "models.tiny:training_pipeline", there).run()
        return recorded.options

    return start


def test_steps_on_other_machines_are_given_addresses_and_where_to_fetch_them(begin: Any, tmp_path: Path) -> None:
    options = begin("kubernetes", S3, artifacts="s3://artifacts", s3_endpoint="http://s3:7070")
    assert options["config_path"] == str(tmp_path / "training.yaml")
    assert options["environment"]["FAIR_S3_ENDPOINT"] == "http://s3:7070"
    assert options["environment"]["FAIR_ARTIFACTS"] == "s3://artifacts"
    assert "FAIR_HOME" not in options["environment"]
    assert json.loads(options["environment"]["FAIR_INPUTS"]) == S3["extra"]["fair"]["inputs"]


def test_steps_here_are_given_copies(begin: Any, tmp_path: Path) -> None:
    options = begin("local", S3)
    assert options["config_path"] == str(tmp_path / "training.local.yaml")
    assert "environment" not in options


def test_paths_of_this_machine_are_refused_before_a_step_is_started_elsewhere(begin: Any) -> None:
    with pytest.raises(RefusedError, match="runs steps on others") as refused:
        begin("local_docker", LOCAL)
    assert len(refused.value.problems) == 3
    with pytest.raises(RefusedError, match="dataset_chips is file:///x"):
        require_reachable({"parameters": {"dataset_chips": "file:///x"}}, "team")


def test_no_password_and_no_folder_of_this_machine_goes_along(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, artifacts=str(tmp_path / "a"), s3_endpoint="http://user:secret@s3:7070")
    environment = step_environment(settings)
    assert "secret" not in str(environment)
    assert str(tmp_path) not in str(environment)


def test_a_step_fetches_files_and_folders_of_a_bucket_by_the_environment_that_it_was_given(
    s3_server: Any, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    sent = Settings(home=tmp_path / "sender", s3_endpoint=s3_server.endpoint, s3_path_style=True, fetch_private=True)
    chips = tmp_path / "chips"
    chips.mkdir()
    (chips / "1.png").write_bytes(b"chip")
    open_bucket(sent, s3_bucket).publish(chips, "town/chips")
    monkeypatch.setenv("FAIR_HOME", str(tmp_path / "pod"))
    told = describe(chips)
    inputs = {f"s3://{s3_bucket}/town/chips": {"file:size": told.size, "file:checksum": told.checksum}}
    for name, value in step_environment(sent, {"extra": {"fair": {"inputs": inputs}}}).items():
        monkeypatch.setenv(name, value)
    found = local_input(f"s3://{s3_bucket}/town/chips")
    assert found.is_relative_to(tmp_path / "pod")
    assert (found / "1.png").read_bytes() == b"chip"
    assert local_input(f"s3://{s3_bucket}/town/chips/1.png").read_bytes() == b"chip"
    assert local_input(str(chips)) == local_input(chips.as_uri()) == chips
    with pytest.raises(RefusedError, match="gs://x"):
        local_input("gs://x/y")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            {"file:size": 4, "file:checksum": describe_content(b"else").checksum},
            "has checksum 1220.*its item says 1220",
        ),
        ({"file:size": 5}, "has 4 bytes, and its item says 5"),
    ],
)
def test_a_step_refuses_what_is_not_what_the_item_says(  # noqa: PLR0917
    s3_server: Any,
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    problem: str,
) -> None:
    """Somebody wrote over the weights after the process that submits the run had verified them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    sent = Settings(home=tmp_path / "sender", s3_endpoint=s3_server.endpoint, s3_path_style=True)
    s3_server.client().put_object(Bucket=s3_bucket, Key="w.bin", Body=b"chip")
    address = f"s3://{s3_bucket}/w.bin"
    monkeypatch.setenv("FAIR_HOME", str(tmp_path / "pod"))
    for name, value in step_environment(sent, {"extra": {"fair": {"inputs": {address: said}}}}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match=problem):
        local_input(address)
    assert not [path for path in (tmp_path / "pod").rglob("*") if path.is_file() and path.name != ".lock"]


def test_what_is_said_of_inputs_is_never_dropped_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIR_INPUTS", "[]")
    with pytest.raises(RefusedError, match="FAIR_INPUTS"):
        local_input("s3://towns/labels.geojson")
