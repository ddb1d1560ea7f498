"""Whether a base model and a dataset fit: both active, same feature, task and geometry type."""

from fair_dagster.domain import items
from fair_dagster.domain.changes import Item

GEOMETRIES = frozenset({"polygon", "line", "point"})
TASKS = frozenset({"semantic-segmentation", "instance-segmentation", "object-detection", "classification"})
_LABEL_TASKS = {
    "segmentation": frozenset({"semantic-segmentation", "instance-segmentation"}),
    "detection": frozenset({"object-detection"}),
    "regression": frozenset[str](),
}
"""What the Label extension 1.0.1 calls tasks, in MLM's words."""


def tasks_of(item: Item) -> frozenset[str]:
    """The tasks of a model (``mlm:tasks``) or of a dataset (``label:tasks`` and task keywords)."""
    properties = item["properties"]
    if "mlm:tasks" in properties:
        return frozenset(properties["mlm:tasks"])
    # A keyword is more exact than 'segmentation', which means two of MLM's tasks.
    if keywords := frozenset(properties.get("keywords", [])) & TASKS:
        return keywords
    tasks: set[str] = set()
    for task in properties.get("label:tasks", []):
        tasks |= _LABEL_TASKS.get(task, frozenset({task}))
    return frozenset(tasks)


def geometries_of(item: Item) -> frozenset[str]:
    return frozenset(item["properties"].get("keywords", [])) & GEOMETRIES


def features_of(item: Item) -> frozenset[str]:
    """The mapped features among the keywords: what is neither a task nor a geometry type."""
    return frozenset(item["properties"].get("keywords", [])) - TASKS - GEOMETRIES


def mismatches(base_model: Item, dataset: Item) -> list[str]:
    """Every reason why ``base_model`` cannot be finetuned on ``dataset``."""
    problems = [
        f"{what} {item['id']!r} is deprecated; use its active version"
        for what, item in (("base model", base_model), ("dataset", dataset))
        if not items.is_active(item)
    ]
    aspects = (
        ("feature", features_of(base_model), features_of(dataset)),
        ("task", tasks_of(base_model), tasks_of(dataset)),
        ("geometry type", geometries_of(base_model), geometries_of(dataset)),
    )
    for aspect, of_model, of_dataset in aspects:
        # A dataset that names no geometry type leaves it open, as datasets published so far do.
        if aspect == "geometry type" and not of_dataset:
            continue
        if not of_model & of_dataset:
            problems.append(
                f"{aspect} differs: base model {base_model['id']!r} has {_listed(of_model)}, "
                f"dataset {dataset['id']!r} has {_listed(of_dataset)}"
            )
    return problems


def _listed(words: frozenset[str]) -> str:
    return ", ".join(sorted(words)) or "none"
