"""What validation accepts and refuses, and how it says so."""

from pathlib import Path
from typing import Any

import pytest

from fair_dagster.catalog.validation.schema_cache import SchemaCache
from fair_dagster.catalog.validation.validator import Validator
from fair_dagster.domain.errors import ServiceError, UnreachableError
from fair_dagster.settings import Settings
from tests.catalog import wild


def test_items_in_every_spelling_of_the_wild_are_accepted(validator: Validator) -> None:
    renamed = wild.base_model()
    for old, new in (("mlm:training", "training-runtime"), ("mlm:inference", "inference-runtime")):
        renamed["assets"][new] = renamed["assets"].pop(old)
    renamed["assets"]["weights"] = renamed["assets"].pop("checkpoint")
    for item in (wild.base_model(), wild.early_base_model(), renamed):
        assert validator.validate(item, kind="base-model").problems == ()


def test_assets_are_found_by_role_whatever_their_key(validator: Validator) -> None:
    item = wild.base_model()
    item["assets"] = {f"asset-{n}": asset for n, asset in enumerate(item["assets"].values())}
    assert validator.validate(item, kind="base-model").problems == ()


def test_runtime_assets_without_roles_are_found_by_key(validator: Validator) -> None:
    item = wild.base_model()
    for asset in item["assets"].values():
        if any("runtime" in role for role in asset["roles"]):
            del asset["roles"]
    assert validator.validate(item, kind="base-model").problems == ()


@pytest.mark.parametrize("key", ["checkpoint", "source-code", "mlm:training", "mlm:inference"])
def test_a_missing_asset_is_named_by_role_and_key(validator: Validator, key: str) -> None:
    item = wild.base_model()
    del item["assets"][key]
    if key == "checkpoint":
        del item["assets"]["model"]
    problems = validator.validate(item, kind="base-model").problems
    assert any(line.startswith("assets: there must be an asset with the role") for line in problems), problems


@pytest.mark.parametrize(
    "name",
    ["license", "providers", "keywords", "fair:metrics_spec", "fair:split_spec", "mlm:hyperparameters"],
)
def test_a_missing_property_is_named(validator: Validator, name: str) -> None:
    problems = validator.validate(wild.without(wild.base_model(), name), kind="base-model").problems
    assert f"properties: '{name}' is missing" in problems


def test_every_problem_is_told_at_once_on_one_short_line_each(validator: Validator) -> None:
    item = wild.base_model(license="proprietary", keywords=["building", "semantic-segmentation"])
    del item["properties"]["mlm:input"][0]["pre_processing_function"]
    del item["properties"]["mlm:output"][0]["classification:classes"]
    item["properties"]["mlm:hyperparameters"]["training.momentum"] = 0.9
    problems = validator.validate(item, kind="base-model").problems
    for expected in (
        "properties.license: must be one of AGPL-3.0-only, MIT, Apache-2.0, BSD-3-Clause, is 'proprietary'",
        "properties.mlm:input[0]: 'pre_processing_function' is missing",
        "properties.mlm:output[0]: 'classification:classes' is missing",
        "properties.keywords: must hold exactly one of line, point, polygon; found none",
        "properties.fair:hyperparameters_spec: no entry for the hyperparameter 'training.momentum'",
    ):
        assert expected in problems
    assert all(len(line) < 250 and "\n" not in line for line in problems)


def test_an_extension_schema_speaks_through_its_nearest_branch(validator: Validator) -> None:
    item = wild.base_model()
    item["assets"]["checkpoint"]["file:checksum"] = "not hex"
    problems = validator.validate(item, kind="base-model").problems
    assert len(problems) == 1
    assert problems[0].startswith("assets.checkpoint.file:checksum:")


def test_a_broken_time_is_refused_by_the_core(bare_validator: Validator) -> None:
    problems = bare_validator.validate(wild.base_model(datetime="yesterdayZ"), kind="base-model").problems
    assert any(line.startswith("properties.datetime:") for line in problems)


@pytest.mark.parametrize("junk", [{}, {"properties": 3, "assets": []}, {"properties": {"keywords": 1}, "links": [3]}])
def test_junk_is_refused_and_never_raises(bare_validator: Validator, junk: dict[str, object]) -> None:
    for kind in ("base-model", "local-model", "dataset"):
        assert bare_validator.validate(junk, kind=kind).problems  # type: ignore[arg-type]


def test_an_early_stac_version_is_accepted_with_a_warning(validator: Validator) -> None:
    report = validator.validate(wild.base_model() | {"stac_version": "1.0.0"}, kind="base-model")
    assert report.problems == ()
    assert any("1.0.0" in line for line in report.warnings)


def test_pickled_weights_are_a_warning_and_no_problem(validator: Validator) -> None:
    report = validator.validate(wild.early_base_model(), kind="base-model")
    assert report.problems == ()
    assert any(line.startswith("assets.model: is a pickle (torch.save)") for line in report.warnings)


def test_a_schema_that_cannot_be_had_is_not_checked_and_fails_when_strict(validator: Validator) -> None:
    item = wild.base_model()
    item["stac_extensions"].append(wild.CLASSIFICATION_2)
    report = validator.validate(item, kind="base-model")
    assert report.valid
    assert len(report.not_checked) == 1
    assert wild.CLASSIFICATION_2 in report.not_checked[0]
    assert not validator.validate(item, kind="base-model", strict=True).valid


def test_an_extension_that_refers_to_a_missing_schema_is_not_checked(shared_schemas: Path, tmp_path: Path) -> None:
    target = tmp_path / "mlm" / "v1.5.1"
    target.mkdir(parents=True)
    (target / "schema.json").write_bytes((shared_schemas / "mlm/v1.5.1/schema.json").read_bytes())
    validator = Validator(Settings(schema_cache=tmp_path, offline=True))
    report = validator.validate(wild.base_model() | {"stac_extensions": [wild.MLM]}, kind="base-model")
    assert report.valid
    assert "it refers to" in report.not_checked[0]


def test_a_private_extension_is_remarked_and_does_not_refuse(tmp_path: Path) -> None:
    def serve(_: str) -> bytes:
        return b'{"type": "object", "required": ["colour"]}'

    cache = SchemaCache(tmp_path, fetcher=serve)
    validator = Validator(Settings(schema_cache=tmp_path), cache=cache)
    item = wild.base_model() | {"stac_extensions": ["https://example.org/colour/schema.json"]}
    report = validator.validate(item, kind="base-model")
    assert report.valid
    assert "'colour' is missing (says https://example.org/colour/schema.json)" in report.warnings


@pytest.mark.parametrize(
    ("error", "is_asked_again"),
    [(UnreachableError("the name cannot be resolved"), False), (ServiceError("the server answered 404"), True)],
)
def test_only_a_host_that_answers_is_asked_again(tmp_path: Path, error: ServiceError, is_asked_again: bool) -> None:
    asked = []

    def fail(uri: str) -> bytes:
        asked.append(uri)
        raise error

    validator = Validator(Settings(schema_cache=tmp_path), cache=SchemaCache(tmp_path, fetcher=fail))
    for _ in range(3):
        report = validator.validate(wild.base_model(), kind="base-model")
    assert report.not_checked
    assert (len(asked) > 1) == is_asked_again


def test_datasets_and_local_models_are_accepted(validator: Validator) -> None:
    assert validator.validate(wild.dataset(), kind="dataset").problems == ()
    assert validator.validate(wild.local_model(), kind="local-model").problems == ()
    raster = wild.dataset(**{"label:type": "raster", "label:tasks": ["semantic-segmentation"]})
    raster["properties"] |= {
        "label:properties": None,
        "label:classes": [{"name": None, "classes": ["building"]}],
    }
    assert validator.validate(raster, kind="dataset").problems == ()


def test_a_dataset_without_labels_or_area_is_refused(validator: Validator) -> None:
    item = wild.dataset()
    del item["assets"]["labels"]
    item |= {"geometry": None}
    problems = validator.validate(item, kind="dataset").problems
    assert any("labels" in line for line in problems)
    assert any(line.startswith("geometry:") for line in problems)


def test_a_local_model_must_be_able_to_predict_and_say_its_version(validator: Validator) -> None:
    item = wild.local_model(version="2")
    del item["assets"]["model"]
    problems = validator.validate(item, kind="local-model").problems
    assert any("ONNX" in line for line in problems)
    assert "properties.version: is '2', and the id says '3'" in problems


def test_an_item_of_the_store_is_as_valid_as_a_contributors_file(validator: Validator) -> None:
    item = wild.base_model() | {
        "collection": "base-models",
        "links": [{"rel": "latest-version", "href": "catalog://base-models/roof-finder"}],
    }
    assert validator.validate(item, kind="base-model").problems == ()


class _CountingCache(SchemaCache):
    """Counts what is compiled: a schema is asked for with all that it refers to, to be compiled."""

    compiled = 0

    def closure(self, uri: str) -> dict[str, Any]:
        self.compiled += 1
        return super().closure(uri)


def test_a_schema_is_compiled_once(shared_schemas: Path) -> None:
    """Compiling takes ten times as long as validating."""
    cache = _CountingCache(shared_schemas, offline=True)
    validator = Validator(Settings(schema_cache=shared_schemas, offline=True), cache=cache)
    validator.validate(wild.base_model(), kind="base-model")
    first = cache.compiled
    assert first > 0
    for _ in range(3):
        validator.validate(wild.base_model(), kind="base-model")
    assert cache.compiled == first
