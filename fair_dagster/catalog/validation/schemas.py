"""Our own schemas and vocabulary, from the source tree or from inside the wheel.

Other people's schemas are the business of ``schema_cache``.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson

from fair_dagster.domain.items.fields import SCHEMA_ROOT, SCHEMA_VERSION
from fair_dagster.domain.items.vocabulary import Vocabulary

Kind = Literal["base-model", "local-model", "dataset"]
KINDS: tuple[Kind, ...] = ("base-model", "local-model", "dataset")


def schemas_folder() -> Path:
    """The folder of our schemas: inside the package in a wheel, beside it in the source tree."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "schemas"
    return inside if inside.is_dir() else package.parent / "schemas"


def schema_path(kind: Kind, version: str = SCHEMA_VERSION) -> Path:
    return schemas_folder() / kind / f"v{version}" / "schema.json"


@cache
def own_schemas() -> dict[str, dict[str, Any]]:
    """All versions of our schemas by their ``$id``."""
    paths = sorted(schemas_folder().glob("*/v*/schema.json"))
    return {document["$id"]: document for document in map(_read, paths)}


@cache
def vocabulary() -> Vocabulary:
    """The keyword vocabulary."""
    return Vocabulary.from_json(_read(schemas_folder() / "keywords.json"))


def is_own(uri: str) -> bool:
    return uri.startswith(f"{SCHEMA_ROOT}/")


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    return document
