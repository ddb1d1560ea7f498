"""Redis, which hands runs to the workers: its address, and how Celery uses it. Results are in Dagster's database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.settings import Settings

DEFAULT_QUEUE = "dagster"
_SCHEMES = ("redis", "rediss")


def require_broker(settings: Settings) -> str:
    """The broker's URL, with its password.

    Raises:
        RefusedError: none is set, or it is no Redis.
    """
    if settings.broker_url is None:
        example = "FAIR_BROKER_URL is not set; it names the Redis of the workers, e.g. redis://:password@host:6379/0"
        raise RefusedError("FAIR_EXECUTOR=celery", [example])
    url = settings.broker_url.get_secret_value()
    scheme = urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise RefusedError("FAIR_BROKER_URL", [f"it begins with {scheme or 'nothing'}://; only Redis is supported"])
    return url


def address(url: str) -> str:
    """A broker's URL as people may read it: without user, password and parameters."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"


def is_refusal(error: BaseException | None) -> bool:
    """Whether the broker answers and refuses the user or password; it will not change its mind."""
    import redis

    while error is not None and not isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
        error = error.__cause__
    return error is not None


@contextmanager
def broker_errors(url: str) -> Iterator[None]:
    """Let a broker that cannot be used be named, without its password.

    Raises:
        ServiceError: it refuses the password, or does not answer.
    """
    import redis
    from kombu.exceptions import OperationalError

    try:
        yield
    except (redis.RedisError, OperationalError, OSError) as error:
        if is_refusal(error):
            refused = f"the broker {address(url)} refuses the user or password of FAIR_BROKER_URL"
            raise ServiceError(refused) from error
        reason = f"the broker {address(url)} does not answer ({type(error).__name__}): start Redis"
        raise ServiceError(reason) from error


def celery_settings(own: Mapping[str, Any]) -> dict[str, Any]:
    """Celery's settings for whole runs as tasks; ``own`` wins over each.

    https://docs.celeryq.dev/en/stable/userguide/configuration.html
    """
    return {
        # A worker acknowledges a run when it begins it, so that no run is delivered twice however long it takes. A run
        # that dies with its worker is launched again by Dagster, not by Redis.
        "task_acks_late": False,
        # A worker takes only what it can begin. One that holds a second run would take it along when it dies.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # Each run gets a process of its own, as everywhere in Dagster.
        "worker_max_tasks_per_child": 1,
        # A run that goes on is worth more than the connection that was lost meanwhile.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # Of a single attempt to connect; the launcher tries again for minutes, and health is asked again.
            "max_retries": 1,
            "interval_start": 0,
            "interval_max": 0.2,
        },
        "task_default_queue": DEFAULT_QUEUE,
        # Dagster's database says how a run ended.
        "task_ignore_result": True,
        # Dagster captures what a step prints.
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": False,
        **own,
    }
