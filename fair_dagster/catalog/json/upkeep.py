"""The catalog and collection documents on the disk: read, made anew where they are gone or damaged, compared.

What the documents say is computed in ``documents``. Nothing here writes: a write is a path and its bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from fair_dagster.catalog import documents
from fair_dagster.catalog.documents import Document
from fair_dagster.catalog.json.layout import Layout
from fair_dagster.catalog.json.reading import DamagedFileError, load_document
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.damage import DocumentProblem, Scan, collection_problem, links_problem
from fair_dagster.domain.items.fields import COLLECTIONS

_ASIDE = ".damaged"
_LISTED = 5


@dataclass(frozen=True)
class Upkeep:
    """A document as it should be. ``problems`` say how the one on the disk differs; none means it does not."""

    document: Document
    problems: tuple[DocumentProblem, ...] = ()
    writes: dict[Path, bytes] = field(default_factory=dict)


def collection_upkeep(layout: Layout, name: str, found: Scan) -> Upkeep:
    """The document of collection ``name`` as its items want it. Links to damaged items stay: the items are there."""
    path = layout.collection_file(name)
    before, problems, writes = _read(path, layout, partial(collection_problem, name=name))
    unreadable = [damaged.key for damaged in found.damaged]
    known = before if before is not None else documents.new_collection(name)
    after = documents.recompute_document(known, found.items, datetime.now(UTC), unreadable)
    if before is None and (problems or found.items or unreadable):
        problems = problems or ["it is gone"]
    if before is not None and after != before:
        problems = _differences(before, after)
    if before is None or after != before:
        writes |= {path: dump_document(after, path)}
    return Upkeep(after, _problems(f"{path.parent.name}/{path.name}", problems), writes)


def catalog_upkeep(layout: Layout) -> Upkeep:
    """The root document with links to all collections; whatever else stands in it stays."""
    path, fresh = layout.catalog_file, documents.new_catalog()
    before, problems, writes = _read(path, layout, _catalog_problem)
    if before is None:
        is_new = not problems and not any(layout.collection_file(name).exists() for name in COLLECTIONS)
        differs = () if is_new else _problems(path.name, problems or ["it is gone"])
        return Upkeep(fresh, differs, writes | {path: dump_document(fresh, path)})
    wanted = {(link["rel"], link["href"]): link for link in fresh["links"]}
    present = {(link["rel"], link["href"]) for link in before["links"]}
    missing = [link for key, link in wanted.items() if key not in present]
    if not missing:
        return Upkeep(before)
    after = before | {"links": [*before["links"], *missing]}
    problem = f"links to {', '.join(link['href'] for link in missing)} are missing"
    return Upkeep(after, _problems(path.name, [problem]), {path: dump_document(after, path)})


def aside(layout: Layout, path: Path, digest: str) -> dict[Path, bytes]:
    """A copy of a damaged file, to be written before the file is overwritten."""
    # An item stands in a folder of its own name.
    name = "-".join(dict.fromkeys(path.relative_to(layout.root).with_suffix("").parts))
    return {aside_folder(layout) / f"{name}-{digest[:8]}{path.suffix}": path.read_bytes()}


def aside_folder(layout: Layout) -> Path:
    return layout.root / _ASIDE


def dump_document(document: dict[str, Any], path: Path) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise RefusedError(f"the content of {path.name}", [f"it cannot be written as JSON: {error}"]) from error


def _read(
    path: Path, layout: Layout, problem_of: Callable[[Any], str | None]
) -> tuple[Document | None, list[str], dict[Path, bytes]]:
    """The document, why it cannot be used, and the copy that is put aside for it."""
    try:
        return load_document(path, problem_of), [], {}
    except DamagedFileError as error:
        return None, [f"it is damaged: {error.problem}"], aside(layout, path, error.digest)


def _problems(name: str, details: Sequence[str]) -> tuple[DocumentProblem, ...]:
    return tuple(DocumentProblem(name, detail) for detail in details)


def _catalog_problem(document: object) -> str | None:
    if not isinstance(document, dict) or document.get("type") != "Catalog":
        return "it is no STAC catalog"
    return links_problem(document)


def _differences(before: Document, after: Document) -> list[str]:
    old, new = _hrefs(before), _hrefs(after)
    told = []
    if missing := sorted(new - old):
        told.append(f"links to {_format_hrefs(missing)} are missing")
    if surplus := sorted(old - new):
        told.append(f"links to {_format_hrefs(surplus)} lead nowhere or are no links of ours")
    names = sorted({*before, *after} - {"links", "updated"})
    fields = [name for name in names if not documents.holds(name, before, after)]
    if fields:
        told.append(f"{', '.join(fields)} differ from what the items say")
    return told


def _hrefs(document: Document) -> set[str]:
    return {str(link["href"]) for link in document["links"]}


def _format_hrefs(hrefs: Sequence[str]) -> str:
    shown = ", ".join(hrefs[:_LISTED])
    return shown if len(hrefs) <= _LISTED else f"{shown} and {len(hrefs) - _LISTED} more"
