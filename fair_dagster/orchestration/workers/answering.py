"""Which workers answer a broker now. Nothing is started or stopped here."""

from dataclasses import dataclass

from fair_dagster.orchestration.workers.broker import broker_errors, celery_settings


@dataclass(frozen=True)
class Worker:
    """A worker that answers: its name, the queues it takes runs from, and how many it has at hand."""

    name: str
    queues: tuple[str, ...]
    runs: int


def answering(url: str, timeout: float, name: str | None = None) -> list[Worker]:
    """The workers of the broker at ``url`` that answer within ``timeout`` seconds, by name.

    Args:
        name: of one; with or without its host.

    Raises:
        ServiceError: the broker does not answer.
    """
    from celery import Celery

    app = Celery("fair-dagster", broker=url, config_source=celery_settings({}), set_as_current=False)
    with broker_errors(url):
        inspect = app.control.inspect(timeout=timeout)
        queues, active = inspect.active_queues() or {}, inspect.active() or {}
    return [
        Worker(node, tuple(queue["name"] for queue in found), len(active.get(node, ())))
        for node, found in sorted(queues.items())
        if name is None or name in {node, node.partition("@")[0]}
    ]
