"""Which workers answer a broker now. Nothing is started or stopped here."""

from dataclasses import dataclass

from fair_dagster.domain.errors import ServiceError
from fair_dagster.orchestration.workers.app import celery_app
from fair_dagster.orchestration.workers.broker import address


@dataclass(frozen=True)
class Worker:
    """A worker that answers: its name, the queues it takes steps from, and how many it has at hand."""

    name: str
    queues: tuple[str, ...]
    steps: int


def answering(url: str, timeout: float, name: str | None = None) -> list[Worker]:
    """The workers of the broker at ``url`` that answer within ``timeout`` seconds, by name.

    Args:
        name: of one; with or without its host.

    Raises:
        ServiceError: the broker does not answer.
    """
    import redis
    from kombu.exceptions import OperationalError

    inspect = celery_app(url).control.inspect(timeout=timeout)
    try:
        queues, active = inspect.active_queues() or {}, inspect.active() or {}
    except (redis.RedisError, OperationalError, OSError) as error:
        raise ServiceError(
            f"the broker {address(url)} does not answer ({type(error).__name__}): start Redis"
        ) from error
    return [
        Worker(node, tuple(queue["name"] for queue in found), len(active.get(node, ())))
        for node, found in sorted(queues.items())
        if name is None or name in {node, node.partition("@")[0]}
    ]
