"""Items of a usual size for benchmarks of the catalog. Nothing here reads or writes a catalog."""

import json
from functools import cache

from fair_dagster.domain.items.fields import BASE_MODELS, DATASETS, LOCAL_MODELS
from fair_dagster.domain.items.links import DERIVED_FROM, LATEST, PREDECESSOR, SUCCESSOR, link_to
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.settings import PROJECT_ROOT

_TEMPLATE = PROJECT_ROOT / "models" / "texture_segmentation" / "stac-item.json"


@cache
def _template() -> Item:
    """A real base model: a local model inherits most of what it says, so the items have their usual size."""
    item: Item = json.loads(_TEMPLATE.read_text())
    return item


def local_item(slug: str, number: int, *, deprecated: bool, newest: int) -> Item:
    """A local model item of a usual size, with the links that publication gives it."""
    links = [
        link_to(DERIVED_FROM, ItemKey(BASE_MODELS, "texture-segmentation"), "Base model"),
        link_to(DERIVED_FROM, ItemKey(DATASETS, "banepa"), "Dataset"),
        link_to(LATEST, local_key(slug, newest)),
    ]
    if number > 1:
        links.append(link_to(PREDECESSOR, local_key(slug, number - 1)))
    if number < newest:
        links.append(link_to(SUCCESSOR, local_key(slug, number + 1)))
    base = _template()
    own = {
        "title": f"{slug} version {number}",
        "version": str(number),
        "deprecated": deprecated,
        "mlm:name": slug,
        "mlm:pretrained_source": base["id"],
        "fair:base_model": base["id"],
        "fair:base_model_version": "1",
        "fair:dataset": "banepa",
        "fair:dataset_version": "1",
        "fair:metrics": {"building_iou": 0.5, "accuracy": 0.9},
    }
    assets = {
        key: asset | {"href": f"https://example.org/{slug}/v{number}/{key}", "file:size": 1000}
        for key, asset in base["assets"].items()
    }
    return base | {
        "id": local_key(slug, number).id,
        "collection": LOCAL_MODELS,
        "geometry": {"type": "Point", "coordinates": [85.52, 27.63]},
        "bbox": [85.52, 27.63, 85.52, 27.63],
        "properties": base["properties"] | own,
        "links": links,
        "assets": assets,
    }


def local_key(slug: str, number: int) -> ItemKey:
    return ItemKey(LOCAL_MODELS, f"{slug}-v{number}")
