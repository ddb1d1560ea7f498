"""A ZenML server over HTTP, with a service account's key, stacks from files, and artifacts on S3."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.settings import PROJECT_ROOT, Settings
from tests.pipelines.conftest import Runner
from tests.services.servers import S3Server, ZenMlServer

MODEL = "served-model"


@dataclass(frozen=True)
class Team:
    """A home that works with servers. Variables of it are those that an operator sets."""

    home: Path
    variables: Mapping[str, str]
    zenml: ZenMlServer
    s3: S3Server

    def start(self, act: str, **extra: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.pipelines.zenml.server_child", act],
            cwd=PROJECT_ROOT,
            env=os.environ | self.variables | extra,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, act: str, **extra: str) -> dict[str, Any]:
        output, _ = self.start(act, **extra).communicate(timeout=180)
        told: dict[str, Any] = json.loads(output.splitlines()[-1])
        return told

    def texts(self) -> str:
        """Everything that the home holds."""
        files = (path for path in self.home.rglob("*") if path.is_file())
        return "".join(path.read_bytes().decode(errors="replace") for path in files)


@pytest.fixture(scope="module")
def team(zenml_session: ZenMlServer, s3_session: S3Server, settings: Settings) -> Team:
    zenml_server, s3_server = zenml_session, s3_session
    zenml_server.start()
    s3_server.start()
    home = settings.models.parent / "team"
    variables = {
        "FAIR_HOME": str(home),
        "FAIR_MODELS": str(settings.models),
        "FAIR_S3_ENDPOINT": s3_server.endpoint,
        "FAIR_TRACKING": "none",
        "FAIR_TRACKING_URI": "http://mlflow.example:5000",
        "FAIR_ZENML_BUCKET": "zenml-artifacts",
        "MLFLOW_TRACKING_USERNAME": "any",
        "MLFLOW_TRACKING_PASSWORD": "mlflow-s3cret",
        "WANDB_API_KEY": "wandb-s3cret",
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "ZENML_STORE_URL": zenml_server.url,
        "ZENML_STORE_API_KEY": zenml_server.api_key,
    }
    return Team(home, variables, zenml_server, s3_server)


@pytest.fixture(scope="module")
def stacked(team: Team) -> dict[str, Any]:
    """What applying the shipped stack files said; the home uses the local one afterwards."""
    return team.do("stacks")


def test_the_shipped_stacks_are_registered_once_and_used(team: Team, stacked: dict[str, Any]) -> None:
    for name, (first, second) in stacked["applied"].items():
        assert (first["code"], second["code"]) == (0, 0), first["output"] + second["output"]
        assert second["shown"]["done"] == []
        assert second["shown"]["name"] == f"fair-{name}"
        assert second["shown"]["components"]["artifact_store"] == "fair-s3 (s3)"
    assert stacked["used"]["shown"]["active"]
    assert stacked["missing"]["code"] == 1
    assert "there is no such stack" in stacked["missing"]["output"]
    assert stacked["store"] == "s3://zenml-artifacts"
    assert stacked["of_one_machine"] == ["default", ""]
    assert stacked["validated"] == "kubernetes ghcr.io/hotosm mlflow"
    secret = team.variables["AWS_SECRET_ACCESS_KEY"]
    assert not any(word in team.texts() for word in (secret, "mlflow-s3cret", "wandb-s3cret", team.zenml.api_key))


def test_a_stack_that_zenml_would_not_take_changes_nothing(
    team: Team,
    stacked: dict[str, Any],
    tmp_path: Path,
) -> None:
    assert stacked["used"]["code"] == 0
    text = (PROJECT_ROOT / "deploy" / "zenml" / "docker.yaml").read_text().replace("fair-", "odd-")
    changes = {
        "flavor": ("flavor: s3", "flavor: s4"),
        "unknown-setting": ("      path: s3", "      colour: red\n      path: s3"),
        "scheme": ("path: s3://", "path: gs://"),
        "plain-secret": ('"{{odd-s3.aws_access_key_id}}"', "AKIA-PLAIN"),
        "half-way": ("odd-docker", "odd-docker"),
        "no-secret": ("odd-mlflow.password", "odd-mlflow.passwort"),
    }
    for name, (old, new) in changes.items():
        assert old in text
        (tmp_path / f"{name}.yaml").write_text(text.replace(old, new))
    more = text.replace("{{odd-mlflow.", "{{fair-mlflow.").replace(
        "  odd-mlflow:\n    user", "  fair-mlflow:\n    user"
    )
    more = more.replace("    username: $", "    added: ${MLFLOW_TRACKING_USERNAME}\n    username: $", 1)
    (tmp_path / "half-way-secret.yaml").write_text(more)
    told = team.do("refused", STACK_FILES=str(tmp_path))["told"]
    assert all(one["unchanged"] for one in told.values())
    errors = {name: one["error"] for name, one in told.items()}
    assert "the server is gone" in errors["half-way"]
    assert "the server is gone" in errors["half-way-secret"]
    assert "ZenML has no flavor 's4'; there is" in errors["flavor"]
    assert "'colour' is no setting of flavor s3" in errors["unknown-setting"]
    assert "components.artifact_store" in errors["scheme"]
    assert "'key' is a secret and may not stand in a file" in errors["plain-secret"]
    assert "AKIA-PLAIN" not in errors["plain-secret"]
    assert "the secret 'odd-mlflow' has no 'passwort'" in errors["no-secret"]


def test_versions_are_made_staged_listed_and_deleted_over_http(team: Team) -> None:
    told = team.do("versions")
    assert told["stages"] == ["archived", "production"]
    assert told["metrics"] == {"iou": 0.5}
    assert told["listed"] == ["served"]
    assert told["requested"] == ["served-v1"]
    assert told["gone"] == 151
    assert "credentials.yaml" not in told["files"]


def test_a_training_outlasts_a_restart_of_the_server_and_a_tick_recovers(
    team: Team,
    stacked: dict[str, Any],
    runner: Runner,
    training_config: Callable[..., dict[str, Any]],
) -> None:
    """One outage for both. The server dies as a failure of its process would, and comes back by itself."""
    assert stacked["used"]["code"] == 0
    number = team.do("create", MODEL=MODEL)["number"]
    progress = runner.folder / "served.progress"
    config = training_config(MODEL, number, sleep=15)
    training = runner.start("train", config, "served", **team.variables, FAIR_PROGRESS_FILE=str(progress))
    tick = team.start("tick")
    assert tick.stdin is not None
    assert tick.stdout is not None
    assert json.loads(tick.stdout.readline()) == {"paused": True}
    deadline = time.monotonic() + 120
    while not progress.exists() and training.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)

    team.zenml.kill()
    tick.stdin.write("\n")
    tick.stdin.flush()
    error = json.loads(tick.stdout.readline())["error"]
    assert "ZenML's server" in error
    assert training.poll() is None
    team.zenml.start()
    output, _ = tick.communicate("\n", timeout=120)
    assert json.loads(output.splitlines()[-1])["families"] == ["ticked"]

    ended = runner.finish(training, "served")
    assert ended.code == 0, ended.output
    assert ended.result is not None
    assert ended.result["status"] == "completed"
    assert ended.result["artifacts"]["onnx_model"].startswith("s3://zenml-artifacts/")
    told = team.do("fetch", MODEL=MODEL, NUMBER=str(number))
    file = Path(told["file"])
    key = f"{told['uri'].removeprefix('s3://zenml-artifacts/')}/{file.name}"
    stored = team.s3.client().get_object(Bucket="zenml-artifacts", Key=key)["Body"].read()
    assert file.read_bytes() == stored
    assert told["same"]
    assert told["left"] == []
    assert told["gone"].startswith("NotFoundError")
    assert "none of ZenML's artifact stores holds it" in told["elsewhere"]
    assert team.zenml.api_key not in team.texts() + ended.output
    assert team.variables["AWS_SECRET_ACCESS_KEY"] not in team.texts() + ended.output
