"""A process of its own: sensors over a ZenML server that is overloaded, then gone.

ZenML reads once in a process which server it has. Prints the errors, and how often the server was asked.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import dagster as dg

from fair_dagster.definitions import build_defs
from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.publication.stage_changes import StagesCursor
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings


class Overloaded(ThreadingHTTPServer):
    """Answers every request with 503, and counts them."""

    asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        cast(Overloaded, self.server).asked += 1
        self.send_error(503)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def overloaded() -> Iterator[Overloaded]:
    """A server that is gone when the block ends."""
    with Overloaded(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server
        finally:
            server.shutdown()


def failure(settings: Settings) -> str:
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = build_defs(settings=settings)
        context = dg.build_sensor_context(instance=instance, cursor=StagesCursor().dump(), definitions=definitions)
        sensor = definitions.resolve_sensor_def(keys.STAGES_SENSOR)
        try:
            found = sensor(context, fair=FairResource(values=settings.plain()))
        except ServiceError as error:
            return str(error)
        return f"no failure: {cast(dg.SensorResult, found)}"


def ending(settings: Settings) -> str:
    """What the sensor over failed runs hears, which ends trainings in ZenML."""
    try:
        Services(settings).zenml_runs.hurry()
    except ServiceError as error:
        return str(error)
    return "no failure"


def main(home: Path) -> None:
    settings = Settings(home=home, models=home / "models", catalog="")
    with overloaded() as server:
        os.environ["ZENML_STORE_URL"] = server.url
        os.environ["ZENML_STORE_API_KEY"] = "none"
        while_overloaded = failure(settings)
        not_ended = ending(settings)
    told = {"overloaded": while_overloaded, "not_ended": not_ended, "asked": server.asked, "gone": failure(settings)}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
