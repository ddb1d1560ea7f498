"""A user of ZenML who knows nothing of this system: a process with ZenML's own client that does what it is told.

Each line on stdin is one JSON object, answered by one line on stdout. ``PlainZenML`` starts the process; importing
ZenML and opening its store is paid once, before the first answer.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self
from uuid import UUID


class PlainZenML:
    """The process, for use in a ``with`` statement."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def clone(self, source: str, name: str) -> str:
        """A new version of the model ``name``, which is made if need be, with metadata and artifacts of ``source``.

        Returns its UUID.
        """
        return str(self._ask("clone", source=source, name=name))

    def stage(self, uuid: str, stage: str) -> None:
        self._ask("stage", uuid=uuid, stage=stage)

    def delete_version(self, uuid: str) -> None:
        self._ask("delete_version", uuid=uuid)

    def delete_model(self, name: str) -> None:
        self._ask("delete_model", name=name)

    def _ask(self, call: str, **values: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, **values}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"ZenML's client ended with {self._process.wait()} while it was asked to {call}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def _clone(client: Any, source: str, name: str) -> str:
    from zenml import log_metadata
    from zenml.model.utils import link_artifact_version_to_model_version

    original = client.get_model_version(model_version_name_or_number_or_id=UUID(source))
    if not client.list_models(name=f"equals:{name}").items:
        client.create_model(name)
    version = client.create_model_version(name)
    metadata = dict(original.run_metadata)
    metadata["fair/request"] = dict(metadata["fair/request"]) | {"model_name": name}
    metadata.pop("fair-dagster/promotion", None)
    log_metadata(metadata, model_version_id=version.id)
    for link in client.list_model_version_artifact_links(model_version_id=original.id, size=50).items:
        link_artifact_version_to_model_version(link.artifact_version, version)
    return str(version.id)


def _stage(client: Any, uuid: str, stage: str) -> None:
    version = client.get_model_version(model_version_name_or_number_or_id=UUID(uuid))
    client.update_model_version(version.model.id, version.id, stage=stage, force=True)


def _delete_version(client: Any, uuid: str) -> None:
    client.delete_model_version(UUID(uuid))


def _delete_model(client: Any, name: str) -> None:
    client.delete_model(name)


def main() -> None:
    """Answer until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    from zenml.client import Client

    client = Client()
    calls = {"clone": _clone, "stage": _stage, "delete_version": _delete_version, "delete_model": _delete_model}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"result": calls[asked.pop("call")](client, **asked)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
