"""A process of its own over a ZenML server, told what to do by its first argument; prints one line of JSON at a time.

ZenML reads once in a process which server it has, and the tests' own process has a database.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch
from uuid import uuid4

from click.testing import CliRunner

from fair_dagster.cli.root import root
from fair_dagster.domain.errors import FairError, ServiceError
from fair_dagster.domain.publication.stage_changes import StagesCursor
from fair_dagster.flows.publication.stages import StageLimits, StagesLook, look
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.zenml.artifacts import artifact_file
from fair_dagster.pipelines.zenml.client import open_client
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.stack_files import read_stack_file
from fair_dagster.pipelines.zenml.stacks import Stacks
from fair_dagster.pipelines.zenml.stages import RowPage, Stages
from fair_dagster.settings import PROJECT_ROOT, Settings

STACKS = PROJECT_ROOT / "deploy" / "zenml"


def say(**told: Any) -> None:
    print(json.dumps(told), flush=True)  # noqa: T201


def heard() -> None:
    """Wait until the parent has done its part."""
    sys.stdin.readline()


def stacks(settings: Settings) -> None:
    """Apply the shipped stack files as a user would, twice, and use the local one; then others that are refused."""

    def run(*arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(root, ["stack", *arguments, "--json"])
        return {"code": result.exit_code, "output": result.output} | ({"shown": json.loads(result.stdout)})

    before = Stacks(settings).of_one_machine()
    applied = {
        name: [run("apply", str(STACKS / f"{name}.yaml")) for _ in range(2)]
        for name in ("docker", "docker-wandb", "kubernetes", "kubernetes-wandb", "local")
    }
    used = run("use", "fair-local")
    missing = run("use", "nothing")
    client = open_client(settings)
    store = client.active_stack.artifact_store
    store.filesystem.mkdirs(store.path, exist_ok=True)
    of_one_machine = [before, Stacks(settings).of_one_machine()]
    say(
        applied=applied,
        used=used,
        missing=missing,
        store=store.path,
        validated=_validated(),
        of_one_machine=of_one_machine,
    )


def _validated() -> str:
    """The Kubernetes stack, as ZenML builds it of what was registered: without a cluster it says so itself."""
    from zenml.client import Client
    from zenml.stack import Stack

    stack = Stack.from_model(Client().get_stack("fair-kubernetes"))
    return f"{stack.orchestrator.flavor} {stack.container_registry.config.uri} {stack.experiment_tracker.flavor}"


def refused(settings: Settings) -> None:
    """Files that do not fit what ZenML has, and one that fails half-way."""
    folder = Path(os.environ["STACK_FILES"])
    open_client(settings)
    told = {}
    for path in sorted(folder.glob("*.yaml")):
        before = _known()
        half_way = patch("zenml.client.Client.create_stack", side_effect=ConnectionError("the server is gone"))
        try:
            with half_way if path.stem.startswith("half-way") else nullcontext():
                Stacks(settings).apply(read_stack_file(path, os.environ))
        except FairError as error:
            told[path.stem] = {"error": str(error), "unchanged": _known() == before}
    say(told=told)


def _known() -> dict[str, Any]:
    from zenml.client import Client

    client = Client()
    rows = [*client.list_stack_components(size=500).items, *client.list_stacks(size=500).items]
    configured = {str(row.id): str(getattr(row, "configuration", "")) for row in rows}
    secrets = client.list_secrets(size=500).items
    return configured | {row.name: sorted(client.get_secret(row.id).secret_values) for row in secrets}


def versions(settings: Settings) -> None:
    """What the flows ask of ZenML, over HTTP."""
    client = ModelVersions(settings)
    made = [client.create("served") for _ in range(3)]
    client.log(made[0].uuid, {"fair/iou": 0.5, "fair/request": {"base_model": "tiny"}})
    client.set_stage("served", 1, "production")
    client.set_stage("served", 2, "production")
    client.delete("served", 3)
    names = [f"served-{n:03}" + "x" * 50 for n in range(120)]
    listed = client.list_many(["served", "absent", *names])
    gone = Stages(settings).gone([one.uuid for one in made] + [str(uuid4()) for _ in range(150)])
    say(
        stages=[one.stage for one in listed["served"]],
        metrics=dict(client.get("served", 1).training.metrics),
        listed=sorted(listed),
        requested=[one.id for one in client.requested_with("tiny")],
        gone=len(gone),
        files=sorted(path.name for path in settings.zenml_path.iterdir()),
    )


class _Paused(Stages):
    """Lets the parent act between the first and the second call of a tick."""

    paused = False

    def changed(self, *arguments: Any) -> RowPage:
        page = super().changed(*arguments)
        if not self.paused:
            self.paused = True
            say(paused=True)
            heard()
        return page


def tick(settings: Settings) -> None:
    """A tick that loses its server in the middle, and the next one."""
    settings = settings.model_copy(update={"catalog": str(settings.home / "no-items")})
    services = Services(settings)
    versions = ModelVersions(settings)
    ticked = versions.create("ticked")
    versions.log(ticked.uuid, {"fair/request": {"base_model": "tiny"}})
    versions.set_stage("ticked", ticked.number, "production")
    services.__dict__["stages"] = _Paused(settings)
    cursor = StagesCursor()
    try:
        found = _look(services, cursor)
    except ServiceError as error:
        say(error=str(error))
    else:
        say(error=f"none: {found.requests}")
    heard()
    say(families=[request.family for request in _look(services, cursor).requests])


def _look(services: Services, cursor: StagesCursor) -> StagesLook:
    return look(services, cursor, ["tiny"], set, StageLimits())


def create(settings: Settings) -> None:
    say(number=ModelVersions(settings).create(os.environ["MODEL"]).number)


def fetch(settings: Settings) -> None:
    """The model of a trained version, twice: the second time it is there."""
    version = ModelVersions(settings).get(os.environ["MODEL"], int(os.environ["NUMBER"]))
    uri = cast(str, version.onnx_uri)
    file = artifact_file(settings, uri, settings.cache_path / "zenml" / version.uuid)
    first = file.stat()
    again = artifact_file(settings, uri, settings.cache_path / "zenml" / version.uuid)
    told: dict[str, Any] = {"uri": uri, "file": str(file), "same": again.stat().st_mtime_ns == first.st_mtime_ns}
    for name, wrong in {"gone": f"{uri}-gone", "elsewhere": "s3://another-bucket/model"}.items():
        try:
            artifact_file(settings, wrong, settings.cache_path / "zenml")
        except FairError as error:
            told[name] = f"{type(error).__name__}: {error}"
    say(**told, left=[path.name for path in settings.cache_path.rglob(".part-*")])


ACTS: dict[str, Callable[[Settings], None]] = {
    act.__name__: act for act in (stacks, refused, versions, tick, create, fetch)
}

if __name__ == "__main__":
    ACTS[sys.argv[1]](Settings())
