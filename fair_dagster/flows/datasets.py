"""Datasets: describing chips and labels as a STAC item, and releasing that item with a copy of both."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fair_dagster.catalog.validation.schemas import vocabulary
from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.coverage import DERIVED, Knowledge
from fair_dagster.domain.items.migrations import current, declared_as
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.items.vocabulary import label_task
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.slugs import slug_problems
from fair_dagster.flows.base_models.registration import read_item
from fair_dagster.flows.publication.releases import Incoming, publish
from fair_dagster.flows.services import Services
from fair_dagster.imagery.chips import ChipsSummary, inspect_chips
from fair_dagster.imagery.labels import check_labels, find_labels, read_labels
from fair_dagster.storage.local import describe
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.catalog.validation.validator import Validator

CHIPS, LABELS = "chips", "labels"


@dataclass(frozen=True)
class DatasetSpec:
    """What a user says about a dataset. ``keywords`` hold feature, task and geometry type."""

    slug: str
    chips: Path
    labels: Path
    keywords: Sequence[str] = ("building", "semantic-segmentation", "polygon")
    title: str | None = None
    description: str | None = None
    license: str = "ODbL-1.0"
    provider: str | None = None
    synthetic: bool = False


def create(services: Services, spec: DatasetSpec) -> Item:
    """The STAC item that describes ``spec``. Nothing is written.

    Raises:
        RefusedError: with everything that is wrong with name, chips, labels and keywords.
    """
    data = inspect(spec.chips, spec.labels, spec.keywords)
    problems = [*slug_problems(spec.slug), *data.problems]
    problems += [f"keywords {problem}" for problem in vocabulary().keyword_problems(spec.keywords)]
    item = declared(services.knowledge, _item(spec, data), items.SCHEMA_VERSION)
    if not problems:
        problems += services.validator.validate(item, kind="dataset").problems
    if problems:
        raise RefusedError(f"dataset {spec.slug!r}", problems)
    return item


@dataclass(frozen=True)
class Inspection:
    """What is in chips and labels: bounds ``[west, south, east, north]`` in EPSG:4326, features, and what is wrong."""

    bbox: tuple[float, ...] | None = None
    geometry: Mapping[str, Any] | None = None
    features: int = 0
    problems: tuple[str, ...] = ()


_WORLD = (-180.0, -90.0, 180.0, 90.0)


def inspect(chips: Path | None, labels: Path | None, keywords: Sequence[str]) -> Inspection:
    """Look into chips and labels; None is what lies behind a URL and is not looked into."""
    geometry = next((word for word in keywords if word in vocabulary().geometries), None)
    problems: list[str] = []
    summary: ChipsSummary | None = None
    features = 0
    if chips is not None:
        try:
            summary = inspect_chips(chips)
        except RefusedError as error:
            problems += [f"chips: {problem}" for problem in error.problems]
    if labels is not None:
        try:
            found = read_labels(labels)
            features = len(found)
            check_labels(found, summary.bbox if summary else _WORLD, geometry=geometry)
        except RefusedError as error:
            problems += [f"labels: {problem}" for problem in error.problems]
    if summary is None:
        return Inspection(features=features, problems=tuple(problems))
    return Inspection(tuple(summary.bbox), summary.geometry, features, tuple(problems))


def write_item(item: Item, path: Path) -> None:
    """Write an item for people to read and for ``register`` to take."""
    path.write_bytes(orjson.dumps(item, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset item that can be released, and the local files behind its assets (None for a URL)."""

    item: Item
    sources: Mapping[str, Path | None]

    @property
    def slug(self) -> str:
        return str(self.item["id"])


def check(validator: "Validator", knowledge: Knowledge, item_path: Path) -> CheckedDataset:
    """Read and check the ``stac-item.json`` of a dataset; hrefs are relative to the file. Nothing is written.

    Raises:
        RefusedError: the item is not valid, or its chips or labels cannot be used; every reason is named.
    """
    item = declared(knowledge, read_item(item_path))
    report = validator.validate(item, kind="dataset")
    sources = {key: _source(item, key, item_path.parent) for key in (CHIPS, LABELS)}
    problems = [*report.problems, *slug_problems(str(item.get("id", "")), "dataset id")]
    problems += inspect(sources[CHIPS], sources[LABELS], item["properties"].get("keywords", [])).problems
    if problems:
        raise RefusedError(f"dataset {item.get('id')!r}", problems)
    return CheckedDataset(item, sources)


def register(services: Services, item_path: Path, expected: str | None = None) -> ChangeSet:
    """Release the dataset of a ``stac-item.json``. Equal content changes nothing.

    Raises:
        RefusedError: as ``check``, or the item is not the dataset ``expected``.
    """
    checked = check(services.validator, services.knowledge, item_path)
    item, sources = checked.item, checked.sources
    if expected is not None and checked.slug != expected:
        raise RefusedError(str(item_path), [f"it describes dataset {checked.slug!r}, not {expected!r}"])
    described = {key: describe(path) for key, path in sources.items() if path is not None}
    uid = _digest(item, described)
    incoming = Incoming(
        uid=uid,
        declared=items.number_of(item),
        content=partial(_content, services.artifacts, services.knowledge, item, sources),
    )
    return publish(services, items.DATASETS, str(item["id"]), incoming)


def declared(knowledge: Knowledge, item: Item, version: str | None = None) -> Item:
    """A dataset's item with our extension declared and the links left to the catalog.

    Args:
        version: of our schema; what the item itself declares when left out.
    """
    links = [link for link in item.get("links", []) if link.get("rel") in {"source", "about", "license", "via"}]
    told = declared_as(item, "dataset", knowledge, version)
    return told | {"links": links, "collection": items.DATASETS}


def _source(item: Item, key: str, base: Path) -> Path | None:
    """The local path of an asset; None for a URL. A labels folder stands for the one GeoJSON file in it."""
    href = str(item.get("assets", {}).get(key, {}).get("href", ""))
    if not href or "://" in href:
        return None
    path = (base / href).resolve()
    if key == LABELS and path.is_dir():
        with contextlib.suppress(RefusedError):  # reading the labels says the same, with all other problems
            return find_labels(path)
    return path


def _digest(item: Item, described: dict[str, PublishedArtifact]) -> str:
    """Identity of a release: what the item says and what its files hold, without where they are and when."""
    # `dataset create` dates an item with the moment it is described, which is no content.
    volatile = {"created", "updated", "datetime", "version", "deprecated"} | DERIVED
    said = {key: value for key, value in item["properties"].items() if key not in volatile}
    assets = {
        key: [described[key].checksum, described[key].size] if key in described else asset.get("href")
        for key, asset in item["assets"].items()
    }
    text = orjson.dumps({"properties": said, "assets": assets}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _content(
    artifacts: ArtifactStore, knowledge: Knowledge, item: Item, sources: Mapping[str, Path | None], folder: str
) -> Item:
    assets = {key: dict(asset) for key, asset in item["assets"].items()}
    for key, source in sources.items():
        if source is not None:
            name = source.name if source.is_file() else key
            assets[key] |= artifacts.publish(source, f"{folder}/{name}").fields()
    return current(item | {"assets": assets}, knowledge)


def _item(spec: DatasetSpec, data: Inspection) -> Item:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    words = vocabulary()
    mapped = words.mapped(spec.keywords)
    title = spec.title or spec.slug.replace("-", " ").capitalize()
    properties: dict[str, Any] = {
        "datetime": now,
        "title": title,
        "description": spec.description or f"{data.features} labels of {', '.join(mapped)} on aerial imagery.",
        "keywords": list(spec.keywords),
        "version": "1",
        "deprecated": False,
        "license": spec.license,
        "label:type": "vector",
        "label:tasks": sorted({label_task(word) for word in spec.keywords if word in words.tasks}),
        "label:classes": [{"name": word, "classes": ["yes"]} for word in mapped],
        "label:properties": mapped,
        "label:methods": ["synthetic" if spec.synthetic else "manual"],
        "label:description": f"{title}: outlines of {', '.join(mapped)}",
        "providers": [{"name": spec.provider or "unknown", "roles": ["producer"]}],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/label/v1.0.1/schema.json",
            "https://stac-extensions.github.io/file/v2.1.0/schema.json",
            "https://stac-extensions.github.io/version/v1.2.0/schema.json",
        ],
        "id": spec.slug,
        "geometry": data.geometry,
        "bbox": list(data.bbox) if data.bbox is not None else None,
        "properties": properties,
        "links": [],
        "assets": {
            CHIPS: {"href": str(spec.chips.resolve()), "roles": ["data"], "title": "Image chips"},
            LABELS: {
                "href": str(spec.labels.resolve()),
                "type": "application/geo+json",
                "roles": ["labels"],
                "title": "Labels",
            },
        },
    }
