"""Workers: the processes that execute the runs that Dagster hands out through a broker (``FAIR_EXECUTOR=celery``)."""

import os
import socket
import sys
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair.part import Part

if TYPE_CHECKING:
    from fair_dagster.orchestration.workers.answering import Worker

_EXTRA = "install fair-dagster with its extra `team`"


class Workers(Part):
    """``Fair.workers``: of the broker that ``FAIR_BROKER_URL`` names."""

    def list(self, *, name: str | None = None, timeout: float = 3.0) -> "tuple[Worker, ...]":
        """The workers that answer now, by name.

        Args:
            name: of one, with or without its host.
            timeout: how long they have to answer, in seconds.

        Raises:
            RefusedError: no broker is set, or Celery is not installed.
            ServiceError: the broker does not answer.
        """
        url = self._broker()
        from fair_dagster.orchestration.workers.answering import answering

        return tuple(answering(url, timeout, name))

    def command(
        self, queues: Sequence[str] = (), *, concurrency: int | None = None, name: str | None = None
    ) -> tuple[str, ...]:
        """The command line of a worker, to be executed with ``environment()``.

        Args:
            queues: what it takes runs from; every queue without.
            concurrency: runs at a time; as many as CPUs without.
            name: what it is called in logs; no other worker may be called so.

        Raises:
            RefusedError: no broker is set, or Celery is not installed.
        """
        self._broker()
        from fair_dagster.orchestration import keys
        from fair_dagster.orchestration.workers.broker import DEFAULT_QUEUE

        node = f"{name or f'fair-{uuid.uuid4().hex[:6]}'}@{socket.gethostname()}"
        options = [
            "--queues",
            ",".join(queues or (DEFAULT_QUEUE, keys.TRAINING_QUEUE)),
            "--hostname",
            node,
            "--loglevel",
            "INFO",
        ]
        # They gossip over the broker about what nobody here asks for.
        options += ["--without-gossip", "--without-mingle"]
        options += ["--concurrency", str(concurrency)] if concurrency else []
        app = "fair_dagster.orchestration.workers.app"
        return (sys.executable, "-m", "celery", "--app", app, "worker", *options)

    def prepare(self) -> None:
        """Make the Dagster instance where there is none, before a worker starts.

        Raises:
            RefusedError: no broker is set, Celery is not installed, or the instance hands runs to no worker.
        """
        self._broker()
        from fair_dagster.orchestration.instance import prepare_instance
        from fair_dagster.orchestration.workers.app import require_launcher

        prepare_instance(self.settings)
        require_launcher(self.settings)

    def environment(self) -> dict[str, str]:
        """The variables of this process, and those that lead a worker to this installation."""
        # Dagster-celery's task opens the instance by itself.
        home = {"DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(self.settings.dagster_path)}
        return {**os.environ, **self.settings.environment(), **home}

    def _broker(self) -> str:
        """The broker's URL."""
        from fair_dagster.orchestration.workers.broker import require_broker

        try:
            import celery  # noqa: F401
            import dagster_celery  # noqa: F401
        except ModuleNotFoundError as error:
            raise RefusedError("a worker", [f"the package {error.name!r} is not installed; {_EXTRA}"]) from error
        return require_broker(self.settings)
