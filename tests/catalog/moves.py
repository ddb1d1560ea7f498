"""Catalogs for tests of moving them: JSON catalogs with what is easily lost on the way, and their comparison."""

from pathlib import Path
from typing import Any

import orjson

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain.items.fields import BASE_MODELS, COLLECTIONS, DATASETS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from tests.catalog.sets import LOCAL, item

POLYGON = [[[85.0, 27.0], [86.0, 27.0], [86.0, 28.123456789012345], [85.0, 27.0]]]


def awkward(slug: str, number: int, **properties: Any) -> Item:
    """A version with values that media tend to change: nulls, whole floats, large and small numbers, time zones."""
    odd = {
        "created": "2026-01-01T05:45:00+05:45",
        "mlm:hyperparameters": {"training.lr": 1e-05, "training.scale": 1.0, "training.seed": None, "big": 1e16},
        "fair:note": "größe \\u0000 is no NUL 🙂",
        "fair:empty": {"list": [], "object": {}, "text": "", "nulls": [None, {"a": None}]},
    }
    links = [{"rel": "about", "href": "https://example.org/a%20b?x=1#y"}, {"rel": "license", "href": "/srv/LICENSE"}]
    made = item(slug, number, **(odd | properties))
    return made | {
        "geometry": {"type": "Polygon", "coordinates": POLYGON},
        "links": [*made["links"], *links],
        "assets": made["assets"] | {"model": {"href": "/srv/models/model.onnx", "roles": ["mlm:model"]}},
    }


def catalog(root: Path, families: int = 3) -> JsonStore:
    """A catalog with items in all collections and a collection document that people have written in."""
    store = JsonStore(root)
    items = [awkward(f"model-{n}", v, deprecated=v == 1) for n in range(families) for v in (1, 2)]
    base = item("ramp", 1) | {"id": "ramp", "collection": BASE_MODELS, "links": []}
    data = item("town", 1) | {"id": "town", "collection": DATASETS, "links": []}
    keys = [ItemKey(one["collection"], one["id"]) for one in (*items, base, data)]
    changes = zip(keys, (*items, base, data), strict=True)
    store.apply(ChangeSet(tuple(Change("create", key, "new", one) for key, one in changes)))
    path = root / LOCAL / "collection.json"
    document = orjson.loads(path.read_bytes())
    document |= {"title": "Our models", "fair:contact": {"name": "HOT", "phone": None}, "providers": [{"name": "HOT"}]}
    document["links"].append({"rel": "about", "href": "https://example.org/models"})
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return store


def content(store: JsonStore) -> dict[str, Any]:
    """Everything that a catalog says, for comparison."""
    return {name: (store.collection(name), {one["id"]: one for one in store.items(name)}) for name in COLLECTIONS}


def files(root: Path) -> dict[str, bytes]:
    """Every file but the lock and the empty journal."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): data for path in found if (data := path.read_bytes())}
