"""Bringing base models in step with the branch that they are contributed on.

``look`` finds the folders whose runs are due, ``sync`` is what such a run does. Neither applies a difference between
two commits: both compare what the branch's head holds with what the catalog holds, so that order and repetition do
not matter.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items, merges
from fair_dagster.domain.errors import CatalogError, RefusedError, ServiceError
from fair_dagster.domain.merges import MergesCursor, OpenedRun, Outcome
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.slugs import folder_slug, is_utf8, slug_problems, split_version_id
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.base_models.branch import MODELS, Commit, Repository, current_checkout
from fair_dagster.flows.publication.releases import retire
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.contract import folder_digest
from fair_dagster.settings import Settings

MOST_RUNS = 50
"""A tick asks for no more runs than these; the others wait for the next."""
_SCHEMAS = "schemas"
_ROUNDS = 8
_PATIENCE = 3600.0

Ended = Callable[[str], tuple[Outcome, datetime | None]]
"""How the run with a key ended, and when; the moment is aware."""


@dataclass(frozen=True)
class Merge:
    """A run that is due: one folder, and the commit that is its cause."""

    folder: str
    slug: str
    commit: Commit
    key: str


@dataclass(frozen=True)
class MergesLook:
    """What a look at the branch found.

    Args:
        models: the folder that base models are read from now.
        schemas: the commit that touched ``schemas/``, when the items have to be checked anew.
        remarks: what an operator should know.
        cursor: what the next look starts from.
    """

    head: str
    models: Path
    merges: tuple[Merge, ...]
    schemas: Commit | None
    remarks: tuple[str, ...]
    cursor: MergesCursor


@dataclass(frozen=True)
class Synced:
    """What bringing one folder in step did. ``folder`` is None when the base model was retired."""

    slug: str
    folder: Path | None
    changes: ChangeSet


@dataclass(frozen=True)
class Followed:
    """How bringing one folder in step ended; problems mean that it was refused, and its base model is as it was."""

    merge: Merge
    result: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Standing:
    """What the catalog holds of a slug: digest of the active release, and a stamp that moves with every change."""

    digest: str | None
    stamp: str


def look(
    catalog: CatalogStore, repository: Repository, cursor: MergesCursor, ended: Ended, *, limit: int = MOST_RUNS
) -> MergesLook:
    """Fetch the branch, make its head current, and find the folders that are not in step with it.

    Raises:
        ServiceError: the repository cannot be read; the caller keeps its cursor.
    """
    head = repository.fetch()
    models = repository.checkout(head) / MODELS
    at_head = frozenset(folder.name for folder in registration.folders(models))
    touched, schemas, remarks = _touched(catalog, repository, cursor, head, at_head)
    attempts, still_open = _open_runs(cursor, ended)
    candidates = {merges.stands_for(folder, at_head) for folder in {*touched, *cursor.waiting, *attempts}}
    unnamed = {folder for folder in candidates if not is_utf8(folder)}
    remarks += [f"models/{folder!a} is left out: its name is not UTF-8" for folder in sorted(unnamed)]
    standings = {folder: _standing(catalog, folder_slug(folder)) for folder in sorted(candidates - unnamed)}
    behind = [name for name, held in standings.items() if not _in_step(models, name, name in at_head, held)]
    due, waiting = behind[:limit], behind[limit:]
    places = {f"{MODELS}/{folder}" for folder in due} | ({_SCHEMAS} if schemas else set())
    causes = repository.last_changes(head, places)
    trees = repository.trees(head) if due else {}
    found = []
    for folder in due:
        cause, attempt = causes[f"{MODELS}/{folder}"], attempts.get(folder, 1)
        key = merges.run_key(folder, cause.sha, trees.get(folder, ""), standings[folder].stamp, attempt)
        found.append(Merge(folder, folder_slug(folder), cause, key))
        still_open[folder] = OpenedRun(key, attempt)
    return MergesLook(
        head=head,
        models=models,
        merges=tuple(found),
        schemas=causes.get(_SCHEMAS),
        remarks=tuple(remarks),
        cursor=replace(cursor, commit=head, waiting=tuple(waiting), opened=still_open),
    )


def look_at_all(catalog: CatalogStore, settings: Settings) -> MergesLook:
    """Compare every folder of the branch's head with the catalog; there is time for a first, long fetch.

    Raises:
        RefusedError: ``FAIR_MODELS_REPO`` names no repository.
        ServiceError: the repository cannot be read.
    """
    repository = Repository(settings, timeout=_PATIENCE)
    return look(catalog, repository, MergesCursor(), lambda _: ("unknown", None), limit=sys.maxsize)


def _open_runs(cursor: MergesCursor, ended: Ended) -> tuple[dict[str, int], dict[str, OpenedRun]]:
    """The folders whose run has to be repeated, with the number of the attempt, and those to be awaited further."""
    attempts: dict[str, int] = {}
    awaited: dict[str, OpenedRun] = {}
    for folder, run in cursor.opened.items():
        outcome, moment = ended(run.key)
        if outcome == "unknown":
            # Asked for, and never recorded: the same key again cannot start it twice.
            attempts[folder] = run.attempt
        elif outcome == "lost" and merges.is_due(run.attempt, moment, datetime.now(UTC)):
            attempts[folder] = run.attempt + 1
        elif outcome in {"going", "lost"}:
            awaited[folder] = run
    return attempts, awaited


def _touched(
    catalog: CatalogStore, repository: Repository, cursor: MergesCursor, head: str, at_head: frozenset[str]
) -> tuple[frozenset[str], bool, list[str]]:
    """The folders to compare with the catalog, whether to check the items anew, and remarks.

    Without a commit to compare with it is every folder, and those that were removed. Only the branch's history tells a
    base model that was removed from it from one that was registered from elsewhere; the latter is left alone.
    """
    if repository.knows(cursor.commit):
        changed = repository.changed(cursor.commit, head)
        return merges.touched_folders(changed), merges.touches_schemas(changed), []
    schemas = merges.touches_schemas(repository.paths(head))
    slugs = {folder_slug(folder) for folder in at_head}
    active = {name for name in catalog.ids(items.BASE_MODELS) if split_version_id(name)[1] is None} - slugs
    if not active:
        return at_head, schemas, []
    known = {folder_slug(folder): folder for folder in merges.touched_folders(repository.ever(head))}
    strangers = sorted(active - known.keys())
    remarks = [f"left alone, for the branch's history does not know them: {', '.join(strangers)}"] if strangers else []
    return at_head | {known[slug] for slug in active & known.keys()}, schemas, remarks


def _standing(catalog: CatalogStore, slug: str) -> _Standing:
    if slug_problems(slug):
        return _Standing(None, "none")
    try:
        family = catalog.family(items.BASE_MODELS, slug)
    except CatalogError:
        # The run says what is wrong with the item; the other folders are not held up by it.
        return _Standing("unreadable", "unreadable")
    digests = [str(item["properties"].get(items.UID)) for item in family if items.is_active(item)]
    return _Standing(digests[0] if digests else None, merges.stamp_of(family))


def _in_step(models: Path, folder: str, at_head: bool, standing: _Standing) -> bool:
    if not at_head:
        return standing.digest is None
    return folder_digest(models / folder) == standing.digest


def sync(services: Services, folder: str) -> Synced:
    """Register a folder of the current checkout, or retire its base model when it is not there any more.

    When another commit became current meanwhile, this is done again: the last of two runs at once must not leave what
    the first of two commits held.

    Raises:
        RefusedError: the folder is not valid, or another one has its slug; every reason is named.
        ServiceError: there is no checkout yet, so that nothing can be known to be removed.
    """
    done: list[Change] = []
    for _ in range(_ROUNDS):
        checkout = _require_checkout(services.settings)
        settings = services.settings.model_copy(update={"models": checkout / MODELS})
        synced = _sync_once(replace(services, settings=settings), folder)
        done += synced.changes.changes
        if current_checkout(services.settings.repository_path) == checkout:
            break
    return replace(synced, changes=ChangeSet(tuple(done)))


def _require_checkout(settings: Settings) -> Path:
    checkout = current_checkout(settings.repository_path)
    if checkout is None:
        raise ServiceError(
            f"there is no checkout of the branch in {settings.repository_path}; fair-dagster base-model sync makes one"
        )
    return checkout


def standing(catalog: CatalogStore, slug: str) -> str:
    """What the catalog holds of a base model, in words."""
    family = catalog.family(items.BASE_MODELS, slug)
    active = [items.number_of(item) for item in family if items.is_active(item)]
    return f"version {active[0]} is active" if active else "retired"


def _sync_once(services: Services, folder: str) -> Synced:
    models = services.settings.models
    slug = folder_slug(folder)
    same = sorted(path.name for path in registration.folders(models) if registration.slug_of_folder(path) == slug)
    if not same:
        return Synced(slug, None, ChangeSet() if slug_problems(slug) else retire(services, items.BASE_MODELS, slug))
    usable = [path for path in registration.usable_folders(models) if path.name in same]
    chosen = models / (folder if folder in same else same[0])
    if len(same) > 1 and chosen not in usable:
        raise RefusedError(
            f"models/{chosen.name}",
            [f"its slug {slug!r} is that of {_names(same, chosen.name)} as well: rename one of them"],
        )
    return Synced(slug, chosen, registration.register(services, chosen))


def _names(folders: Iterable[str], but: str) -> str:
    return " and ".join(f"models/{name}" for name in folders if name != but)
