"""Moving a whole catalog between two places: look at all of it, write it as one load, compare in the end.

Which places there are stands in ``catalog.bulk``, what has to be written is decided in ``domain.moving``.

See docs/decisions/0022.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fair_dagster.catalog.moving import Place, Reader, Writer
from fair_dagster.catalog.opening import open_folder, open_place
from fair_dagster.domain import moving
from fair_dagster.domain.errors import CatalogError, ConflictError, NotFoundError, RefusedError
from fair_dagster.domain.items.damage import REPAIR, DamagedItem
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.moving import Comparison, Inventory, Load, LocalFile, Mode
from fair_dagster.settings import Settings

Progress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is, and of what."""

_STEP = 50
"""Items between two calls of ``Progress``."""
_STEPS = ("reading", "writing", "comparing")


@dataclass(frozen=True)
class Count:
    """Items of one collection: how many the source has, and what happened to the target's."""

    collection: str
    items: int
    created: int
    updated: int
    unchanged: int
    removed: int
    kept: int


@dataclass(frozen=True)
class Moved:
    """What a move did.

    Attributes:
        documents: whether collection documents were compared too; after a merge they follow from all items.
        differences: how the target differs from the source now; none means that nothing was lost.
        local_files: files of this machine that items name.
        seconds: that reading, writing and comparing took.
    """

    source: str
    target: str
    counts: tuple[Count, ...]
    documents: bool
    differences: tuple[str, ...]
    local_files: tuple[LocalFile, ...]
    seconds: Mapping[str, float]


def export_catalog(settings: Settings, folder: Path, mode: Mode, progress: Progress | None = None) -> Moved:
    """Copy the catalog that the settings name into a JSON catalog in ``folder``; see ``move``."""
    _require_other_folder(settings, folder)
    return move(open_place(settings), open_folder(folder), mode, progress)


def import_catalog(settings: Settings, folder: Path, mode: Mode, progress: Progress | None = None) -> Moved:
    """Copy the JSON catalog in ``folder`` into the one that the settings name; see ``move``.

    Raises:
        NotFoundError: there is no catalog in ``folder``.
    """
    if not (folder / "catalog.json").is_file():
        raise NotFoundError(
            f"the catalog {folder}", ["there is no catalog.json in it; name the folder of a JSON catalog"]
        )
    _require_other_folder(settings, folder)
    return move(open_folder(folder), open_place(settings), mode, progress)


def move(source: Place, target: Place, mode: Mode, progress: Progress | None = None) -> Moved:
    """Copy the catalog at ``source`` to ``target`` and compare the two.

    Raises:
        RefusedError: the source is damaged, the target cannot hold one of its items, or it holds something that
            ``mode`` does not allow to be there. Every reason is named, and nothing was written.
        ConflictError: the source was changed meanwhile; nothing was written.
        CatalogError: one of the two could not be read or written. Nothing was written, or the message says what.
    """
    told = progress or (lambda done, total, what: None)
    return source.read(lambda reader: _move(reader, target, mode, told))


def _move(reader: Reader, target: Place, mode: Mode, progress: Progress) -> Moved:
    times = [time.perf_counter()]
    found = _inventory(reader, target, progress)
    times.append(time.perf_counter())
    held, load = target.write(partial(_write, reader, found, mode, progress))
    if load.documents is None:
        target.recompute()
    times.append(time.perf_counter())
    after = target.read(lambda written: _compared(found, reader, written, progress, "comparing"))
    times.append(time.perf_counter())
    return Moved(
        reader.name,
        target.name,
        tuple(_count(name, found, held, load) for name in COLLECTIONS),
        load.documents is not None,
        tuple(moving.differences(found, after, load)),
        tuple(found.local_files),
        {name: round(end - start, 3) for name, start, end in zip(_STEPS, times, times[1:], strict=False)},
    )


def _write(reader: Reader, found: Inventory, mode: Mode, progress: Progress, writer: Writer) -> tuple[Comparison, Load]:
    """Decide from what is there at this moment, and write."""
    held = _compared(found, reader, writer, progress, "what is there already")
    load = moving.decide(found, held, mode, writer.name)
    if load:
        writer.write(load, partial(_items, reader, found, load, progress, at_once=writer.is_atomic))
    return held, load


def _inventory(reader: Reader, target: Place, progress: Progress) -> Inventory:
    """All of the source in short.

    Raises:
        RefusedError: part of it cannot be moved.
    """
    found, unfit = Inventory(), []
    for name in COLLECTIONS:
        try:
            if (document := reader.document(name)) is not None:
                found.documents[name] = document
                unfit += [f"collection {name}: {problem}" for problem in target.unstorable_document(document)]
            elif reader.count(name):
                found.problems.append(f"the document of the collection {name} is gone, and items of it are there")
        except CatalogError as error:
            found.problems.append(str(error))
        for one in _counted(reader, name, progress, "reading"):
            found.add(one)
            if not isinstance(one, DamagedItem):
                target.expect(one)
                unfit += [f"{moving.key_of_item(one)}: {problem}" for problem in target.unstorable(one)]
    if found.problems or unfit:
        end = f"nothing was written. {REPAIR}" if found.problems else "nothing was written"
        raise RefusedError(f"the move of {reader.name}", [*found.problems, *unfit, end])
    return found


def _compared(found: Inventory, source: Reader, target: Reader, progress: Progress, what: str) -> Comparison:
    held = (one for name in COLLECTIONS for one in _counted(target, name, progress, what))
    result = moving.compared(found, held, source.get)
    for name in COLLECTIONS:
        try:
            document = target.document(name)
        except CatalogError:
            # A damaged document counts as none: it is overwritten, or told as a difference.
            document = None
        if document is not None:
            result.documents[name] = document
    return result


def _counted(reader: Reader, collection: str, progress: Progress, what: str) -> Iterator[Item | DamagedItem]:
    total = reader.count(collection)
    for done, one in enumerate(reader.walk(collection), start=1):
        if done % _STEP == 0 or done == total:
            progress(done, max(done, total), f"{what}, {collection}")
        yield one


def _items(reader: Reader, found: Inventory, load: Load, progress: Progress, *, at_once: bool) -> Iterator[Item]:
    """The items of ``load``.

    Args:
        at_once: nobody sees a part of the load, and an error undoes it. Otherwise what becomes active comes before what
            ceases to be, and new items before those that take over an id, so that no family is without an active item
            in between and no version is lost on the way.

    Raises:
        ConflictError: one of them is not what it was when the load was decided.
    """
    active = {ItemKey(collection, item_id) for (collection, _), ids in found.active.items() for item_id in ids}
    done, total = 0, len(load.written)
    groups = [kind & half for kind in (load.created, load.updated) for half in (active, load.written - active)]
    for keys in (load.written,) if at_once else groups:
        for name in COLLECTIONS:
            if wanted := {key for key in keys if key.collection == name}:
                progress(done, total, f"writing, {name}")
            for item in _wanted(reader, name, wanted):
                key = moving.key_of_item(item)
                if digest_of(item) != found.digests[key]:
                    raise _changed(key, undone=at_once)
                wanted.discard(key)
                done += 1
                if done % _STEP == 0 or done == total:
                    progress(done, total, f"writing, {name}")
                yield item
            if wanted:
                raise _changed(*wanted, undone=at_once)


def _wanted(reader: Reader, collection: str, keys: set[ItemKey]) -> Iterator[Item]:
    """The items ``keys`` of one collection. Few of them are read one by one, many by reading all."""
    left = frozenset(keys)
    if len(left) * 10 < reader.count(collection):
        yield from (item for key in sorted(left, key=str) if (item := reader.get(key)) is not None)
        return
    for one in reader.walk(collection) if left else ():
        if not isinstance(one, DamagedItem) and moving.key_of_item(one) in left:
            yield one


def _changed(*keys: ItemKey, undone: bool) -> ConflictError:
    told = "Repeat; nothing was written" if undone else "Repeat"
    return ConflictError(f"{moving.listed(keys)} was changed while the catalog was being moved. {told}")


def _count(collection: str, found: Inventory, held: Comparison, load: Load) -> Count:
    def of(keys: "frozenset[ItemKey] | set[ItemKey] | tuple[ItemKey, ...]") -> int:
        return sum(key.collection == collection for key in keys)

    extra = of(set(held.extra))
    removed = of(load.removed)
    return Count(
        collection,
        found.count(collection),
        created=of(load.created),
        updated=of(load.updated),
        unchanged=of(held.same),
        removed=removed,
        kept=extra - removed,
    )


def _require_other_folder(settings: Settings, folder: Path) -> None:
    if "://" not in settings.catalog and settings.catalog_path == folder.expanduser().resolve():
        raise RefusedError(f"the folder {folder}", ["it is the catalog that FAIR_CATALOG names; name another folder"])
