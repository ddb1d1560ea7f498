"""Redis as executor and workers see it: its address, and a note for each step of how far it is.

Messages are Celery's business. The notes tell what Celery does not: whether somebody is still at work on a step. A
note that has vanished means that its worker died or that Redis lost its memory, and both are mended alike.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fair_dagster.domain.errors import RefusedError
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

LEASE_SECONDS = 30
"""How long a step counts as being worked on after its worker was last heard of."""
RENEW_SECONDS = 5
_KEPT_SECONDS = 7 * 24 * 3600
_SCHEMES = ("redis", "rediss")
_TIMEOUT_SECONDS = 5.0
_RUNNING = "running:"
_FAILED = "failed:"

# Whoever works on the step keeps the note; one who finds it taken has lost it to another.
_TAKE = """
local note = redis.call('GET', KEYS[1])
if note and note ~= 'queued' and note ~= ARGV[1] then return note end
if note ~= ARGV[1] then
  redis.call('INCR', KEYS[1] .. ':claims')
  redis.call('EXPIRE', KEYS[1] .. ':claims', ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
"""


class State(Enum):
    """How far a step is."""

    GONE = "gone"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Note:
    """What Redis says of a step; ``detail`` is why it could not be executed at all."""

    state: State
    detail: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Note":
        if text is None:
            return cls(State.GONE)
        if text.startswith(_RUNNING):
            return cls(State.RUNNING)
        if text.startswith(_FAILED):
            return cls(State.FAILED, text.removeprefix(_FAILED))
        return cls(State(text))


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


class StepNotes:
    """The notes of steps in Redis. Every method raises ``redis.RedisError`` while it does not answer."""

    def __init__(self, url: str) -> None:
        import redis

        self._redis: Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        self._take: Any = self._redis.register_script(_TAKE)

    def queued(self, step: str) -> None:
        """Note that the step was handed to Celery, unless a worker has been faster."""
        self._redis.set(step, State.QUEUED.value, nx=True, ex=_KEPT_SECONDS)

    def read(self, step: str) -> Note:
        found = self._redis.get(step)
        return Note.parse(found if found is None else str(found))

    def take(self, step: str, worker: str) -> Note:
        """Claim the step for ``worker``, or renew its claim. The answer is RUNNING when it is the worker's."""
        mine = f"{_RUNNING}{worker}"
        found = str(self._take(keys=[step], args=[mine, LEASE_SECONDS, _KEPT_SECONDS]))
        return Note(State.RUNNING, worker) if found == mine else Note.parse(found)

    def claims(self, step: str) -> int:
        """How often the step was claimed, as far as Redis remembers."""
        return int(str(self._redis.get(f"{step}:claims") or 0))

    def done(self, step: str) -> None:
        self._redis.set(step, State.DONE.value, ex=_KEPT_SECONDS)

    def failed(self, step: str, why: str) -> None:
        """Note that the step could not be executed at all; Dagster's log says nothing of it."""
        self._redis.set(step, f"{_FAILED}{why}", ex=_KEPT_SECONDS)

    def stop(self, step: str) -> None:
        """Ask whoever works on the step to end."""
        self._redis.set(f"{step}:stop", "1", ex=_KEPT_SECONDS)

    def is_stopped(self, step: str) -> bool:
        return bool(self._redis.exists(f"{step}:stop"))


def step_name(run_id: str, step_key: str, attempt: int) -> str:
    """The key of a step's note; a retry by Dagster's rules is another attempt."""
    return f"fair-dagster:{run_id}:{step_key}:{attempt}"
