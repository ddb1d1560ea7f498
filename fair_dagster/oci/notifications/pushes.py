"""What registries tell of pushes, and what is remembered of their tags. Pure: nobody is asked here.

A notification is a hint and no fact: it says where to look, and what is acted on is what the registry says of the
digest. So a forged one leads nowhere, and a repeated one to what is known already.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_LONGEST = 255
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_KEPT_DIGITS = 16
"""Of a digest in the cursor: enough to tell a tag that moved, in a tenth of the room for 10,000 tags."""
EVERY = "/*"


@dataclass(frozen=True)
class Push:
    """A manifest that somebody says was pushed. The host that is named is left out: it has names of its own inside."""

    repository: str
    digest: str

    @classmethod
    def of(cls, repository: object, digest: object) -> Self | None:
        """What somebody says; None where it cannot be: these texts become part of addresses."""
        if not isinstance(repository, str) or not isinstance(digest, str) or len(repository) > _LONGEST:
            return None
        return cls(repository, digest) if _REPOSITORY.fullmatch(repository) and _DIGEST.fullmatch(digest) else None


def pushes_in(body: bytes) -> list[Push]:
    """The pushes of manifests in a notification of ``application/vnd.docker.distribution.events.v1+json``.

    Other events, and other fields, are nobody's business here.

    Raises:
        ValueError: it is no such notification.
    """
    document = json.loads(body)
    events = document.get("events") if isinstance(document, Mapping) else None
    if not isinstance(events, list):
        raise ValueError("it holds no list of events")
    found = (_push(event) for event in events)
    return list(dict.fromkeys(one for one in found if one is not None))


def _push(event: Any) -> Push | None:
    target = event.get("target") if isinstance(event, Mapping) and event.get("action") == "push" else None
    if not isinstance(target, Mapping) or target.get("mediaType") not in _MANIFESTS:
        return None
    return Push.of(target.get("repository"), target.get("digest"))


def places_of(repository: str, watched: Iterable[str]) -> list[str]:
    """The watched repositories, as ``registry/repository``, that a notification about ``repository`` may mean."""
    found = []
    for pattern in watched:
        registry, _, name = pattern.partition("/")
        inside = f"{name.removesuffix(EVERY)}/" if name.endswith(EVERY) else ""
        if name in {repository, EVERY[1:]} or (inside and repository.startswith(inside)):
            found.append(f"{registry}/{repository}")
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class PushesCursor:
    """What the sensor remembers. Without it everything is looked at again, which asks for no run twice.

    Attributes:
        polled: when the tags were looked at last, in seconds since 1970.
        seen: the beginning of the digest by tag, by repository.
        answered: names of notifications that the last tick has acted on, which may be forgotten now.
    """

    polled: float = 0.0
    seen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    answered: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read one; what is damaged is an empty one."""
        try:
            document = json.loads(text or "{}")
            seen = {str(place): dict(tags) for place, tags in document.get("seen", {}).items()}
            return cls(float(document.get("polled", 0)), seen, tuple(document.get("answered", ())))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        return json.dumps({"polled": self.polled, "seen": self.seen, "answered": self.answered})


def shorten(digest: str) -> str:
    """A digest as the cursor keeps it."""
    return digest.partition(":")[2][:_KEPT_DIGITS]


def in_turn(tags: Sequence[str], seen: Mapping[str, str], limit: int, turn: int) -> list[str]:
    """Which tags to look up now: new ones first, then the others in turns, so that each one comes round.

    Args:
        turn: counts up; which of the known tags it is about follows from it.
    """
    new = [tag for tag in tags if tag not in seen][:limit]
    known = [tag for tag in tags if tag in seen]
    left = min(limit - len(new), len(known))
    start = (turn * left) % len(known) if left else 0
    return new + (known[start:] + known[:start])[:left]
