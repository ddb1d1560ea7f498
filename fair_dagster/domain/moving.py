"""Moving a whole catalog to another place: what is there, what has to be written, what differs in the end.

Pure rules over items that somebody else reads one after the other; whole catalogs are never held in memory.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.damage import DamagedItem
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.links import STRUCTURAL
from fair_dagster.domain.items.stac import Item, ItemKey

Mode = Literal["empty", "merge", "replace"]
"""What the target may hold: nothing else than the source does; anything, which is kept; anything, which is removed."""

Document = dict[str, Any]
Family = tuple[str, str]
"""Collection and ``mlm:name`` or slug."""

_LISTED = 10


@dataclass(frozen=True)
class LocalFile:
    """A file that an item names by its path on this machine: nobody else can read it."""

    item: ItemKey
    asset: str
    href: str


@dataclass
class Inventory:
    """What a catalog holds, in short.

    Attributes:
        digests: of every item that can be read.
        documents: the collection documents that are there, without structural links.
        active: the active items of each family.
        problems: what cannot be moved, one sentence each.
    """

    digests: dict[ItemKey, str] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    active: dict[Family, list[str]] = field(default_factory=dict)
    local_files: list[LocalFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, found: Item | DamagedItem) -> None:
        if isinstance(found, DamagedItem):
            self.problems.append(f"{found.key} cannot be read: {found.problem}")
            return
        key = key_of_item(found)
        self.digests[key] = digest_of(found)
        self.local_files += local_files(found)
        if items.is_active(found):
            self.active.setdefault((key.collection, items.name_of(found)), []).append(key.id)

    def count(self, collection: str) -> int:
        return sum(key.collection == collection for key in self.digests)


@dataclass
class Comparison:
    """What a target holds, seen from the source.

    Attributes:
        same: in both, equal.
        different: in both, not equal; also what is damaged in the target.
        extra: only in the target, with their families when they are active.
        damaged: those of ``different`` and ``extra`` that cannot be read.
    """

    same: set[ItemKey] = field(default_factory=set)
    different: set[ItemKey] = field(default_factory=set)
    extra: dict[ItemKey, Family | None] = field(default_factory=dict)
    damaged: set[ItemKey] = field(default_factory=set)
    documents: dict[str, Document] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.same or self.different or self.extra)


@dataclass(frozen=True)
class Load:
    """What is to be written, decided and complete.

    Attributes:
        documents: collection documents to be written as they are; None where they follow from all items.
        damaged: what cannot be read among ``updated`` and ``removed``; a copy is put aside.
    """

    created: frozenset[ItemKey]
    updated: frozenset[ItemKey]
    removed: tuple[ItemKey, ...]
    documents: Mapping[str, Document] | None
    damaged: frozenset[ItemKey] = frozenset()

    @property
    def written(self) -> frozenset[ItemKey]:
        return self.created | self.updated

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed or self.documents)


def key_of_item(item: Item) -> ItemKey:
    return ItemKey(str(item["collection"]), str(item["id"]))


def compared(
    source: Inventory, held: Iterable[Item | DamagedItem], original: Callable[[ItemKey], Item | None]
) -> Comparison:
    """Compare what a target holds with the source.

    Args:
        original: reads an item of the source; asked where digests differ, because 27 and 27.0 are the same number.
    """
    result = Comparison()
    for found in held:
        key = found.key if isinstance(found, DamagedItem) else key_of_item(found)
        if isinstance(found, DamagedItem):
            result.damaged.add(key)
        if key not in source.digests:
            is_active = not isinstance(found, DamagedItem) and items.is_active(found)
            result.extra[key] = (key.collection, items.name_of(found)) if is_active else None  # type: ignore[arg-type]
        elif not isinstance(found, DamagedItem) and _is_same(found, source.digests[key], original):
            result.same.add(key)
        else:
            result.different.add(key)
    return result


def _is_same(found: Item, digest: str, original: Callable[[ItemKey], Item | None]) -> bool:
    return digest_of(found) == digest or same_json(found, original(key_of_item(found)))


def same_json(one: Any, other: Any) -> bool:
    """Whether two documents are the same JSON: key order does not count, and a number is its value."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    # In Python True is 1.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def decide(source: Inventory, target: Comparison, mode: Mode, name: str) -> Load:
    """What has to be written so that the target holds the source.

    Args:
        name: of the target, for people.

    Raises:
        RefusedError: the target holds something that ``mode`` does not allow to be there.
    """
    if mode == "empty" and (problems := _in_the_way(source, target)):
        raise RefusedError(f"the move to {name}", problems)
    if mode == "merge" and (problems := _two_active(source, target)):
        raise RefusedError(f"the merge into {name}", problems)
    merged = mode == "merge" and bool(target.extra)
    removed = tuple(sorted(target.extra, key=str)) if mode == "replace" else ()
    return Load(
        created=frozenset(source.digests.keys() - target.same - target.different),
        updated=frozenset(target.different),
        removed=removed,
        damaged=frozenset(target.damaged & {*target.different, *removed}),
        documents=None if merged else _other_documents(source, target),
    )


def _other_documents(source: Inventory, target: Comparison) -> dict[str, Document]:
    return {
        name: document
        for name, document in source.documents.items()
        if name not in target.documents or not same_json(target.documents[name], document)
    }


def _in_the_way(source: Inventory, target: Comparison) -> list[str]:
    problems = []
    if target.extra:
        problems.append(f"it holds {_counted(target.extra)} that the source does not have: {listed(target.extra)}")
    if target.different:
        problems.append(
            f"it holds {_counted(target.different)} that differ from the source's: {listed(target.different)}"
        )
    if not problems and target.same:
        changed = sorted(_other_documents(source, target).keys() & target.documents.keys())
        problems += [f"its document of the collection {name} says something else than the source's" for name in changed]
    if problems:
        problems.append("--merge keeps what only the target has, --replace removes it; both overwrite what differs")
    return problems


def _two_active(source: Inventory, target: Comparison) -> list[str]:
    return [
        f"{key} is active, and so is {', '.join(source.active[family])} of the source; a family has one active item. "
        "Archive one of them first"
        for key, family in sorted(target.extra.items(), key=lambda pair: str(pair[0]))
        if family in source.active
    ]


def differences(source: Inventory, target: Comparison, load: Load) -> list[str]:
    """How the target differs from the source after ``load`` was written; nothing means that it was lossless."""
    missing = sorted(source.digests.keys() - target.same - target.different, key=str)
    lines = [f"{key} is missing" for key in missing]
    lines += [f"{key} differs" for key in sorted(target.different, key=str)]
    lines += [f"{key} was to be removed and is there" for key in load.removed if key in target.extra]
    if load.documents is not None:
        lines += [f"the document of the collection {name} differs" for name in sorted(_other_documents(source, target))]
    return lines


def local_files(item: Item) -> list[LocalFile]:
    """The assets and links of ``item`` that lead to a file of this machine."""
    key = key_of_item(item)
    named = [(name, asset.get("href")) for name, asset in item.get("assets", {}).items()]
    named += [
        (f"link {link['rel']}", link.get("href")) for link in item.get("links", []) if link["rel"] not in STRUCTURAL
    ]
    return [LocalFile(key, name, href) for name, href in named if isinstance(href, str) and is_local(href)]


def is_local(href: str) -> bool:
    return href.startswith(("/", "file:"))


def listed(keys: Iterable[ItemKey]) -> str:
    names = sorted(map(str, keys))
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def _counted(keys: Iterable[ItemKey]) -> str:
    count = len(list(keys))
    return "1 item" if count == 1 else f"{count} items"
