"""The commands and variables of the images as plain processes, on a real PostgreSQL and a real bucket."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from tests.deploy.documents import DEPLOY, ROOT, services, stages
from tests.services.servers import PostgresServer, RegistryServer, S3Server

WAIT_SECONDS = 180.0
LAUNCH = """mutation($job: String!) { launchRun(executionParams: {runConfigData: {}, selector: {
  repositoryName: "__repository__", repositoryLocationName: "fair-dagster", jobName: $job}}) {
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
LOADED = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  ... on PythonError { message } ... on RepositoryLocation { repositories { jobs { name } } } } } } } }"""
RELOAD = 'mutation { reloadRepositoryLocation(repositoryLocationName: "fair-dagster") { __typename } }'


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    pytest.fail(f"{what} did not happen within {WAIT_SECONDS:.0f} s")


@dataclass
class Stack:
    """The processes of one stack, started as the images start them."""

    folder: Path
    environment: dict[str, str]
    places: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: list[str]) -> None:
        words = [self.places.get(word, word) for word in command]
        words[0] = str(Path(sys.executable).with_name(words[0]))
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                words, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def ask(self, query: str, **variables: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.places['3000']}/graphql"
        answer = httpx.post(url, json={"query": query, "variables": variables}, timeout=60, trust_env=False)
        return dict(answer.json()["data"])

    def jobs(self) -> set[str]:
        (location,) = self.ask(LOADED)["workspaceOrError"]["locationEntries"]
        found = location["locationOrLoadError"] or {}
        assert "message" not in found, found
        return {job["name"] for repository in found.get("repositories", []) for job in repository["jobs"]}

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def stack(tmp_path: Path, postgres_server: PostgresServer, s3_server: S3Server, s3_bucket: str) -> Iterator[Stack]:
    """Code location, web server and daemon, with an instance in a database of its own."""
    postgres_server.execute("DROP DATABASE IF EXISTS dagster_of_images WITH (FORCE)")
    postgres_server.execute("CREATE DATABASE dagster_of_images OWNER dagster")
    database = psycopg.conninfo.conninfo_to_dict(postgres_server.service.dsn("dagster_of_images", "dagster"))
    instance = tmp_path / "instance"
    instance.mkdir()
    shutil.copy(DEPLOY / "dagster" / "workspace.yaml", instance)
    # Without workers, as its comment says; those are tried in tests/orchestration/workers.
    config = yaml.safe_load((DEPLOY / "dagster" / "dagster.yaml").read_text())
    del config["run_launcher"]
    (instance / "dagster.yaml").write_text(yaml.safe_dump(config))
    shutil.copytree(ROOT / "models", tmp_path / "models")
    places = {port: str(_free_port()) for port in ("3000", "4000")}
    places |= {"0.0.0.0": "127.0.0.1", "/opt/dagster/dagster_home/workspace.yaml": str(instance / "workspace.yaml")}
    environment = {
        **stages()["base"].environment,
        **stages()["code-location"].environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DAGSTER_HOME": str(instance),
        "FAIR_HOME": str(tmp_path / "home"),
        "FAIR_MODELS": str(tmp_path / "models"),
        "FAIR_OFFLINE": "true",
        "DAGSTER_PG_HOST": str(database["host"]),
        "DAGSTER_PG_PORT": str(database["port"]),
        "DAGSTER_PG_USER": str(database["user"]),
        "DAGSTER_PG_PASSWORD": str(database["password"]),
        "DAGSTER_PG_DB": str(database["dbname"]),
        "DAGSTER_LOGS_BUCKET": s3_bucket,
        "DAGSTER_CODE_LOCATION_HOST": "localhost",
        "DAGSTER_CODE_LOCATION_PORT": places["4000"],
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        # By name: a server may be asked with the bucket as part of its host's name, which only its address forbids.
        "AWS_ENDPOINT_URL_S3": f"http://localhost:{s3_server.port}",
        **{
            name: services()["worker"]["environment"][name]
            for name in ("ZENML_ANALYTICS_OPT_IN", "AUTO_OPEN_DASHBOARD")
        },
    }
    found = Stack(tmp_path, environment, places)
    found.start("code-location", stages()["code-location"].command)
    for name in ("webserver", "daemon"):
        found.start(name, services()[name]["command"])
    yield found
    found.stop()
    postgres_server.execute("DROP DATABASE IF EXISTS dagster_of_images WITH (FORCE)")


def test_a_run_goes_from_the_web_server_by_the_queue_to_the_code_location(
    stack: Stack, s3_server: S3Server, s3_bucket: str
) -> None:
    healthy = [*yaml.safe_load(stages()["code-location"].last("HEALTHCHECK").partition("CMD ")[2])]
    healthy = [stack.places.get(word, word) for word in healthy]

    def checked() -> bool:
        return subprocess.run(healthy, env=stack.environment, check=False, capture_output=True).returncode == 0

    _until(checked, "the health check of the image")
    _until(lambda: _answers(stack), "an answer of the web server")
    assert {"register_base_models", "finetune__texture_segmentation"} <= stack.jobs()

    run = stack.ask(LAUNCH, job="register_base_models")["launchRun"]["run"]["runId"]
    ended = {"SUCCESS", "FAILURE", "CANCELED"}

    def status() -> str | None:
        found = str(stack.ask(STATUS, run=run)["runOrError"]["status"])
        return found if found in ended else None

    assert _until(status, "the end of the run") == "SUCCESS", stack.log("code-location")[-2000:]
    listed = s3_server.client().list_objects_v2(Bucket=s3_bucket, Prefix=f"dagster-compute-logs/storage/{run}/")
    assert listed["KeyCount"] > 0
    live = subprocess.run(
        services()["daemon"]["healthcheck"]["test"][1:],
        env=stack.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert live.returncode == 0, live.stdout + live.stderr

    # A folder that is added later is loaded when the UI is asked to: that is why the image starts `code-server`.
    _add_model(stack.folder / "models")
    stack.ask(RELOAD)
    _until(lambda: "finetune__another_model" in stack.jobs(), "loading the new base model")


def _answers(stack: Stack) -> bool:
    for name, process in stack.processes.items():
        assert process.poll() is None, stack.log(name)[-2000:]
    try:
        return httpx.get(f"http://127.0.0.1:{stack.places['3000']}/server_info", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _add_model(folder: Path) -> None:
    shutil.copytree(folder / "texture_segmentation", folder / "another_model")
    path = folder / "another_model" / "stac-item.json"
    item = json.loads(path.read_text().replace("models.texture_segmentation", "models.another_model"))
    item["id"] = item["properties"]["mlm:name"] = "another-model"
    path.write_text(json.dumps(item))


def test_the_registry_of_the_compose_file_starts_with_its_configuration(
    docker_registry: RegistryServer, tmp_path: Path
) -> None:
    """``docker_registry`` sees that the program is here; this one is started with the compose file's own settings."""
    port = _free_port()
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        ["docker-registry", "serve", str(DEPLOY / "compose" / "registry.yml")],
        env={
            **os.environ,
            "REGISTRY_HTTP_SECRET": "x",
            "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "data"),
            "OTEL_TRACES_EXPORTER": "none",
        },
        stdout=log,
        stderr=log,
        start_new_session=True,
    )

    def answers() -> httpx.Response | None:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False)
        except httpx.HTTPError:
            return None

    try:
        assert _until(answers, "an answer of the registry").status_code == 200
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
