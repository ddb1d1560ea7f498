"""Which base models a move of the branch touches, and what a watcher remembers of it between two looks.

Pure: paths, folders and cursors in, decisions out. Neither git nor the catalog is read here.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import RANK
from fair_dagster.domain.slugs import folder_slug

_HIDDEN = (".", "_")
_LONGEST_WAIT = timedelta(hours=1)

Outcome = Literal["going", "done", "refused", "lost", "unknown"]
"""How a run that was asked for ended. ``lost``: it failed for a reason that is not its folder's."""


@dataclass(frozen=True)
class OpenedRun:
    """A run that was asked for, and is not known to have ended."""

    key: str
    attempt: int = 1


@dataclass(frozen=True)
class MergesCursor:
    """What was seen of the branch so far.

    Args:
        commit: the head at the last look; empty at first.
        waiting: folders whose runs did not fit into the last look.
        opened: by folder, the runs whose end has to be awaited.
        reloaded: the checkout for which the code location was asked to reload.
    """

    commit: str = ""
    waiting: tuple[str, ...] = ()
    opened: Mapping[str, OpenedRun] = field(default_factory=dict)
    reloaded: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> "MergesCursor":
        """The inverse of ``to_json``; what cannot be read is an empty cursor, which leads to a full comparison."""
        try:
            found = json.loads(text or "{}")
            return cls(
                commit=_text(found.get("commit", "")),
                waiting=tuple(_text(folder) for folder in found.get("waiting", [])),
                opened={
                    folder: OpenedRun(_text(value["key"]), int(value["attempt"]))
                    for folder, value in found.get("opened", {}).items()
                },
                reloaded=_text(found.get("reloaded", "")),
            )
        except (ValueError, TypeError, AttributeError, KeyError):
            return cls()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def folder_of(path: str) -> str | None:
    """The base model folder that a path lies in; None for what belongs to none."""
    parts = path.split("/")
    if len(parts) < 3 or parts[0] != "models" or parts[1].startswith(_HIDDEN):
        return None
    return parts[1]


def touched_folders(changed: Iterable[str]) -> frozenset[str]:
    """The folders under ``models/`` that hold a changed path."""
    return frozenset(folder for folder in map(folder_of, changed) if folder)


def touches_schemas(paths: Iterable[str]) -> bool:
    return any(path.startswith("schemas/") for path in paths)


def stands_for(folder: str, at_head: frozenset[str]) -> str:
    """The folder that decides over the slug of ``folder``.

    A folder that is gone may have left its slug to another one: ``a_b`` renamed to ``a-b`` is the same base model.
    """
    if folder in at_head:
        return folder
    return min((other for other in at_head if folder_slug(other) == folder_slug(folder)), default=folder)


def stamp_of(family: Sequence[Item]) -> str:
    """What no two states of a family share, also when one of them is a return to the other."""
    fields = ("version", RANK, "deprecated", "updated")
    state = sorted([item["id"], *(str(item["properties"].get(name)) for name in fields)] for item in family)
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:10] if state else "none"


def run_key(folder: str, commit: str, content: str, standing: str, attempt: int = 1) -> str:
    """Names a run by its cause: the commit that touched the folder, its content, and what the catalog held before.

    ``content`` is git's id of the folder at the head, empty when it is gone.

    With the commit alone, a branch that is set back to an older commit would name a run that has been. Without the
    content, a merge commit that changes a folder would: git's log names the commit before it.
    """
    again = f":{attempt}" if attempt > 1 else ""
    return f"merge:{folder}:{commit[:12]}:{content[:12] or 'gone'}:{standing}{again}"


def is_due(attempt: int, ended: datetime | None, now: datetime) -> bool:
    """Whether to try a lost run again: after 1, 2, 4 … minutes, at last once an hour. Both times are aware."""
    wait = min(timedelta(minutes=2 ** min(attempt - 1, 10)), _LONGEST_WAIT)
    return ended is None or now - ended >= wait
