"""Whether a base model and a dataset fit: both active, same feature, task and geometry type."""

from collections.abc import Callable, Iterable, Mapping

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.items.vocabulary import Vocabulary, mlm_tasks


def tasks_of(item: Item, vocabulary: Vocabulary) -> frozenset[str]:
    """The tasks of a model (``mlm:tasks``) or of a dataset (task keywords, else ``label:tasks``)."""
    properties = item["properties"]
    if "mlm:tasks" in properties:
        return frozenset(properties["mlm:tasks"])
    # A keyword is more exact than 'segmentation', which means two of MLM's tasks.
    if keywords := _keywords(item) & vocabulary.tasks:
        return keywords
    return mlm_tasks(properties.get("label:tasks", []))


def _keywords(item: Item) -> frozenset[str]:
    return frozenset(item["properties"].get("keywords", []))


def features_of(item: Item, vocabulary: Vocabulary) -> frozenset[str]:
    return frozenset(vocabulary.mapped(_keywords(item)))


def geometries_of(item: Item, vocabulary: Vocabulary) -> frozenset[str]:
    return _keywords(item) & vocabulary.geometries


_ASPECTS: Mapping[str, Callable[[Item, Vocabulary], frozenset[str]]] = {
    "feature": features_of,
    "task": tasks_of,
    "geometry type": geometries_of,
}


def mismatches(base_model: Item, dataset: Item, vocabulary: Vocabulary) -> list[str]:
    """Every reason why ``base_model`` cannot be finetuned on ``dataset``."""
    problems = [
        f"{what} {item['id']!r} is deprecated; use its active version"
        for what, item in (("base model", base_model), ("dataset", dataset))
        if not items.is_active(item)
    ]
    for aspect, words_of in _ASPECTS.items():
        of_model, of_dataset = words_of(base_model, vocabulary), words_of(dataset, vocabulary)
        # A dataset that names no geometry type leaves it open, as datasets published so far do.
        if aspect == "geometry type" and not of_dataset:
            continue
        if not of_model & of_dataset:
            problems.append(
                f"{aspect} differs: base model {base_model['id']!r} has {_listed(of_model)}, "
                f"dataset {dataset['id']!r} has {_listed(of_dataset)}"
            )
    return problems


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "none"
