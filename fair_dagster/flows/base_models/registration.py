"""Base models: from a folder under ``models/`` to the active item of its slug.

See docs/decisions/0007.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.domain.items.images import pinned_images, runtime_images, with_pins
from fair_dagster.domain.items.migrations import current, declared_as
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.slugs import folder_slug, slug_problems
from fair_dagster.flows.base_models.images import find_pins, pin, reference_problems
from fair_dagster.flows.publication.releases import Incoming, publish
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import require_folder
from fair_dagster.pipelines.contract import check_folder, folder_digest, shipped_files
from fair_dagster.storage.store import ArtifactStore

ITEM_FILE = "stac-item.json"


@dataclass(frozen=True)
class Validation:
    """What validation found: problems refuse, warnings and unchecked schemas are told."""

    subject: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    not_checked: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def folders(models: Path) -> list[Path]:
    """The base model folders: those that hold an item or a pipeline, broken ones included."""
    if not models.is_dir():
        return []
    marks = (ITEM_FILE, "pipeline.py")
    found = (path for path in models.iterdir() if path.is_dir() and any((path / m).exists() for m in marks))
    return sorted(path for path in found if not path.name.startswith((".", "_")))


def usable_folders(models: Path) -> list[Path]:
    """The folders that can have an asset: their slugs are good, and each is there once.

    The others are left out, so that one of them does not keep the rest from loading; ``validate`` says why.
    """
    found = folders(models)
    slugs = [slug_of_folder(folder) for folder in found]
    return [
        folder
        for folder, slug in zip(found, slugs, strict=True)
        if not slug_problems(slug) and (slugs.count(slug) == 1 or folder.name == slug.replace("-", "_"))
    ]


def slug_of_folder(folder: Path) -> str:
    """``models/texture_segmentation`` holds ``texture-segmentation``."""
    return folder_slug(folder.name)


def find_folder(models: Path, name: str) -> Path:
    """The folder of a base model by slug, folder name or path.

    Raises:
        NotFoundError: there is none.
    """
    candidates = (Path(name), models / name, models / name.replace("-", "_"))
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.resolve()
    known = ", ".join(slug_of_folder(folder) for folder in folders(models)) or "none"
    raise NotFoundError(f"base model folder {name!r}", [f"no such folder in {models}; there are: {known}"])


def read_item(path: Path) -> Item:
    """A STAC item from a file.

    Raises:
        RefusedError: the file is missing, holds no JSON, or has another form than a STAC item.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise RefusedError(str(path), ["there is no such file"]) from error
    except OSError as error:
        raise RefusedError(str(path), [f"cannot be read: {error.strerror}"]) from error
    return parse_item(content, str(path))


def parse_item(content: bytes, where: str) -> Item:
    """A STAC item from what was read at ``where``.

    Raises:
        RefusedError: it is no JSON, or has another form than a STAC item.
    """
    try:
        item = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RefusedError(where, [f"is not JSON: {error}"]) from error
    if problems := _form_problems(item):
        raise RefusedError(where, problems)
    return dict(item)


def _form_problems(item: Any) -> list[str]:
    """Why ``item`` cannot even be looked into; what its fields say is the business of validation."""
    if not isinstance(item, dict) or not isinstance(item.get("properties"), dict):
        return ["is not a STAC item: it must be an object with properties"]
    problems = [] if isinstance(item.get("id"), str) else ["id must be a string"]
    assets, links = item.get("assets", {}), item.get("links", [])
    if not isinstance(assets, dict) or not all(isinstance(asset, dict) for asset in assets.values()):
        problems.append("assets must be an object of objects")
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        problems.append("links must be a list of objects")
    lists = {
        "stac_extensions": item.get("stac_extensions", []),
        "properties.keywords": item["properties"].get("keywords", []),
    }
    for name, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            problems.append(f"{name} must be a list of strings")
    return problems


def validate(services: Services, folder: Path, *, strict: bool = False) -> Validation:
    """Everything that is wrong with a base model folder: contract, schemas, rules, hrefs."""
    contract = check_folder(folder, services.settings.entrypoint_roots)
    problems, warnings = [str(problem) for problem in contract.problems], list(contract.warnings)
    not_checked: tuple[str, ...] = ()
    try:
        item = read_item(folder / ITEM_FILE)
    except RefusedError as error:
        if not any(problem.file == ITEM_FILE for problem in contract.problems):
            problems += [f"{ITEM_FILE} {problem}" for problem in error.problems]
    else:
        report = services.validator.validate(declared(services.knowledge, item), kind="base-model", strict=strict)
        problems += report.problems
        warnings += report.warnings
        not_checked = report.not_checked
        problems += _href_problems(folder, item) + reference_problems(item)
        slug = items.name_of(item)
        problems += slug_problems(slug_of_folder(folder), "folder name as a slug")
        if slug != slug_of_folder(folder):
            problems.append(
                f"mlm:name {slug!r} does not fit the folder {folder.name!r}: {slug_of_folder(folder)!r} does"
            )
    return Validation(str(folder), tuple(problems), tuple(warnings), not_checked)


def register(
    services: Services, folder: Path, *, strict: bool = False, warn: Callable[[str], None] = lambda _: None
) -> ChangeSet:
    """Validate a folder and make it the active version of its slug. Equal content changes nothing.

    Its images are pinned to digests, and a version that was released keeps its own.

    Args:
        strict: refuse what could not be checked: schemas, and images that cannot be pinned.
        warn: is told of images that are not pinned.

    Raises:
        RefusedError: the folder is not valid, stands outside the models folder and so could not be run, or has weights
            that must be signed and are not.
    """
    require(services, folder, strict=strict)
    item = read_item(folder / ITEM_FILE)
    require_folder(services, folder, item)
    slug, uid = slug_of_folder(folder), folder_digest(folder)
    released = _released_pins(services.catalog, slug, uid)
    asked = find_pins(services.registries, services.settings, set(runtime_images(item).values()) - set(released or {}))
    if strict and asked.problems:
        raise RefusedError(str(folder), asked.told)
    for problem in asked.told:
        warn(problem)
    content = with_pins(item, asked.found if released is None else released)
    incoming = Incoming(
        uid=uid,
        declared=items.number_of(item),
        content=partial(_content, services.artifacts, services.knowledge, folder, content),
    )
    changes = publish(services, items.BASE_MODELS, slug, incoming)
    late = pin(services.catalog, services.artifacts, slug, asked) if released is not None else ChangeSet()
    return changes if not late else late if not changes else replace(changes, changes=changes.changes + late.changes)


def _released_pins(catalog: CatalogStore, slug: str, uid: str) -> dict[str, str] | None:
    """The pinned images of a release, by the reference asked for; None when it has not been released."""
    published = catalog.family(items.BASE_MODELS, slug)
    return next((pinned_images(item) for item in published if item["properties"].get(items.UID) == uid), None)


def require(services: Services, folder: Path, *, strict: bool = False) -> None:
    """Make sure that a folder can be registered; refusals as in ``register``. Nothing is written."""
    found = validate(services, folder, strict=strict)
    problems = list(found.problems)
    if folder.resolve().parent != services.settings.models.resolve():
        problems.append(
            f"stands outside {services.settings.models}, where pipelines are run from; move it or set FAIR_MODELS"
        )
    if problems:
        raise RefusedError(found.subject, problems)


def declared(knowledge: Knowledge, item: Item) -> Item:
    """A contributor's item with our extension declared and the links left to the catalog."""
    own = [link for link in item.get("links", []) if link.get("rel") in {"about", "cite-as", "license", "via"}]
    told = declared_as(item, "base-model", knowledge)
    return told | {"links": own, "collection": items.BASE_MODELS}


def _is_relative(href: str) -> bool:
    return href != items.LOCAL_RUNTIME and "://" not in href and not href.startswith("/")


def _is_file(asset: dict[str, Any]) -> bool:
    """Runtime hrefs are image references, which look like relative paths."""
    runtimes = {"mlm:training-runtime", "mlm:inference-runtime"}
    media = str(asset.get("type", ""))
    return not runtimes & set(items.roles(asset)) and "oci.image" not in media


def _href_problems(folder: Path, item: Item) -> list[str]:
    problems = []
    for key, asset in item.get("assets", {}).items():
        href = str(asset.get("href", "")) if isinstance(asset, dict) else ""
        if not href or not _is_relative(href) or not _is_file(asset):
            continue
        path = (folder / href).resolve()
        if not path.is_relative_to(folder.resolve()):
            problems.append(f"assets.{key}: href {href!r} leaves the folder")
        elif not path.exists():
            problems.append(f"assets.{key}: href {href!r} names no file in the folder")
    return problems


def _content(artifacts: ArtifactStore, knowledge: Knowledge, folder: Path, item: Item, target: str) -> Item:
    """The item with its files published under ``target``."""
    assets = {}
    for key, asset in item["assets"].items():
        assets[key] = dict(asset)
        href = str(asset["href"])
        if _is_relative(href) and _is_file(asset):
            # "." is the folder itself: the code, with all that it imports from beside it.
            name = "folder" if Path(href) == Path() else Path(href).as_posix()
            files = shipped_files(folder) if Path(href) == Path() else None
            assets[key] |= artifacts.publish(folder / href, f"{target}/{name}", files).fields()
    return current(declared(knowledge, item) | {"assets": assets}, knowledge)
