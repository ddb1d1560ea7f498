"""What a valid item must fulfil beyond what JSON Schema can say. Pure.

The rules run on items that schemas may already have refused, so that every problem is told at once: a part
of the wrong type is passed over here, because the schema has named it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.items.hyperparameter_spec import is_number, value_problems
from fair_dagster.domain.items.links import DERIVED_FROM, targets
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.items.vocabulary import Vocabulary, mlm_tasks
from fair_dagster.domain.slugs import slug_problems, split_version_id

_PREFIXES = (f"{items.TRAINING}.", f"{items.INFERENCE}.")
_ENTRYPOINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def base_model_problems(item: Item, vocabulary: Vocabulary) -> list[str]:
    """Every rule that ``item`` breaks as a base model."""
    return _model_problems(item, vocabulary)


def local_model_problems(item: Item, vocabulary: Vocabulary) -> list[str]:
    """Every rule that ``item`` breaks as a finetuned model version."""
    problems = _model_problems(item, vocabulary)
    number = split_version_id(str(item.get("id", "")))[1]
    version = _properties(item).get("version")
    if number is None:
        problems.append("id: must end in the version, like my-model-v3")
    elif version != str(number):
        problems.append(f"properties.version: is {version!r}, and the id says {str(number)!r}")
    if _assets_are_objects(item) and items.onnx_asset(item) is None:
        problems.append("assets: there is no ONNX model (role mlm:model with mlm:artifact_type onnx)")
    return problems


def dataset_problems(item: Item, vocabulary: Vocabulary) -> list[str]:
    """Every rule that ``item`` breaks as a dataset."""
    properties = _properties(item)
    problems = _id_problems(str(item.get("id", "")))
    keywords = _words(properties.get("keywords"))
    problems += _keyword_problems(properties, vocabulary, geometry_required=False)
    named = _words(properties.get("label:tasks"))
    tasks = mlm_tasks(named)
    wanted = set(keywords) & vocabulary.tasks
    if named and wanted and not wanted & tasks:
        said, meant = ", ".join(named), ", ".join(sorted(wanted))
        problems.append(f"properties.label:tasks: {said} does not fit the keywords {meant}")
    return problems


def model_warnings(item: Item, vocabulary: Vocabulary) -> list[str]:
    """What is allowed on a model and still worth a word: pickled weights, keywords of its own, no parents."""
    found = _at("properties.keywords", vocabulary.keyword_warnings(_words(_properties(item).get("keywords"))))
    name, item_id = _properties(item).get("mlm:name"), str(item.get("id", ""))
    if item_id != name and item_id.replace("_", "-") == name:
        found.append(f"id: {item_id!r} is spelled with underscores; it is published as {name!r}")
    for key, asset in _assets(item):
        if items.is_pickle(asset):
            how = asset.get("mlm:artifact_type", "by its name")
            found.append(
                f"assets.{key}: is a pickle ({how}), which can run code when it is loaded; "
                "a finetune refuses it unless FAIR_ALLOW_PICKLE is set"
            )
    return found


def local_model_warnings(item: Item, vocabulary: Vocabulary) -> list[str]:
    found = model_warnings(item, vocabulary)
    links = [link for link in _list(item.get("links")) if isinstance(link, dict) and "href" in link]
    if not targets(links, DERIVED_FROM):
        found.append("links: no derived_from link says which base model and dataset it comes from")
    return found


def dataset_warnings(item: Item, vocabulary: Vocabulary) -> list[str]:
    keywords = _words(_properties(item).get("keywords"))
    found = vocabulary.keyword_warnings(keywords)
    if not set(keywords) & vocabulary.geometries:
        found.append("no geometry type is named, so that the dataset is taken to fit every model")
    return _at("properties.keywords", found)


def _model_problems(item: Item, vocabulary: Vocabulary) -> list[str]:
    properties = _properties(item)
    keywords = _words(properties.get("keywords"))
    problems = _name_problems(item)
    problems += _keyword_problems(properties, vocabulary, geometry_required=True)
    tasks = _words(properties.get("mlm:tasks"))
    for task in sorted(set(keywords) & vocabulary.tasks - set(tasks)):
        problems.append(f"properties.mlm:tasks: {task!r} is among the keywords and missing here")
    problems += _hyperparameter_problems(properties)
    problems += _class_problems(properties)
    problems += _asset_problems(item)
    return problems


def _keyword_problems(properties: Mapping[str, Any], vocabulary: Vocabulary, *, geometry_required: bool) -> list[str]:
    if not isinstance(properties.get("keywords"), list):
        return []
    keywords = _words(properties["keywords"])
    return _at("properties.keywords", vocabulary.keyword_problems(keywords, geometry_required=geometry_required))


def _name_problems(item: Item) -> list[str]:
    name = _properties(item).get("mlm:name")
    if not isinstance(name, str):
        return []
    problems = _at("properties.mlm:name", slug_problems(name, "name"))
    item_id = str(item.get("id", ""))
    # Contributors name folders with underscores, and some ids with them; the name decides.
    if name not in (item_id.replace("_", "-"), split_version_id(item_id)[0]):
        problems.append(f"id: {item_id!r} must be mlm:name ({name!r}), or a version of it like {name + '-v2'!r}")
    return problems


def _id_problems(item_id: str) -> list[str]:
    return _at("id", slug_problems(split_version_id(item_id)[0], "id"))


def _hyperparameter_problems(properties: Mapping[str, Any]) -> list[str]:
    """``fair:hyperparameters_spec`` covers every value; values and defaults fit type and range."""
    where = "properties.fair:hyperparameters_spec"
    entries = [entry for entry in _list(properties.get("fair:hyperparameters_spec")) if _has_key(entry)]
    spec: dict[str, Mapping[str, Any]] = {}
    problems = []
    for entry in entries:
        key = entry["key"]
        if key in spec:
            problems.append(f"{where}: {key!r} stands there twice")
        spec[key] = entry
        problems += _range_problems(f"{where}: {key!r}", entry)
        if "default" in entry:
            problems += value_problems(f"{where}: the default of {key!r}", entry["default"], entry)
    values = properties.get("mlm:hyperparameters")
    for key, value in values.items() if isinstance(values, dict) else ():
        entry = spec.get(key) or spec.get(_bare(key))
        if entry is None:
            problems.append(f"{where}: no entry for the hyperparameter {key!r}")
        else:
            problems += value_problems(f"properties.mlm:hyperparameters: {key!r}", value, entry)
    return problems


def _range_problems(where: str, entry: Mapping[str, Any]) -> list[str]:
    low, high = entry.get("min"), entry.get("max")
    if is_number(low) and is_number(high) and low > high:
        return [f"{where}: min {low} is greater than max {high}"]
    return []


def _class_problems(properties: Mapping[str, Any]) -> list[str]:
    problems = []
    for index, output in enumerate(_list(properties.get("mlm:output"))):
        classes = _list(output.get("classification:classes")) if isinstance(output, dict) else []
        for field in ("value", "name"):
            seen = [repr(one.get(field)) for one in classes if isinstance(one, dict) and field in one]
            for twice in sorted({one for one in seen if seen.count(one) > 1}):
                where = f"properties.mlm:output[{index}].classification:classes"
                problems.append(f"{where}: {field} {twice} is used twice")
    return problems


def _asset_problems(item: Item) -> list[str]:
    if not _assets_are_objects(item):
        return []
    problems = []
    code = items.code_asset(item)
    entrypoints = [a.get("mlm:entrypoint") for _, a in _assets(item) if a.get("mlm:entrypoint")]
    if code is not None and not any(isinstance(e, str) and _ENTRYPOINT.fullmatch(e) for e in entrypoints):
        example = "models.my_model.pipeline:training_pipeline"
        problems.append(f"assets.{code[0]}: mlm:entrypoint must name the pipeline, like {example}")
    weights = items.weights_asset(item)
    if weights is not None and not isinstance(weights[1].get("mlm:artifact_type"), str):
        problems.append(f"assets.{weights[0]}: mlm:artifact_type must say how the weights are stored")
    return problems


def _properties(item: Item) -> Mapping[str, Any]:
    found = item.get("properties")
    return found if isinstance(found, dict) else {}


def _assets(item: Item) -> Iterator[tuple[str, dict[str, Any]]]:
    assets = item.get("assets")
    for key, asset in assets.items() if isinstance(assets, dict) else ():
        if isinstance(asset, dict):
            yield key, asset


def _assets_are_objects(item: Item) -> bool:
    assets = item.get("assets")
    return isinstance(assets, dict) and all(isinstance(asset, dict) for asset in assets.values())


def _bare(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _has_key(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("key"), str)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(value: Any) -> list[str]:
    return [word for word in _list(value) if isinstance(word, str)]


def _at(where: str, problems: list[str]) -> list[str]:
    return [f"{where}: {problem}" for problem in problems]
