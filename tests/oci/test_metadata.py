"""Metadata of models: what omlmd writes, what it loses, and what is refused."""

import json

import pytest
import yaml

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.metadata import ModelMetadata

WHOLE = {
    "name": "Mnist",
    "description": "Digits",
    "author": "Jo",
    "customProperties": {"accuracy": 0.9, "tags": ["a"], "nested": {"x": None}},
    "uri": "https://example.org/m.onnx",
    "model_format_name": "onnx",
    "model_format_version": "1",
}


def test_nothing_is_lost_on_the_way_there_and_back() -> None:
    made = ModelMetadata.of(WHOLE)
    assert made.document() == WHOLE
    assert ModelMetadata.parse(made.json(), "x") == made
    assert ModelMetadata.parse(made.yaml(), "x") == made
    assert ModelMetadata.from_annotations(made.annotations()) == made


def test_unknown_keys_are_custom_properties() -> None:
    made = ModelMetadata.of({"name": "m", "license": "MIT", "customProperties": {"accuracy": 1}})
    assert made.customProperties == {"accuracy": 1, "license": "MIT"}


def test_annotations_are_the_first_level() -> None:
    assert ModelMetadata.of({"name": "m", "accuracy": 0.5}).annotations() == {
        "name": "m",
        "customProperties+json": '{"accuracy": 0.5}',
    }


def test_annotations_of_others_are_no_metadata() -> None:
    assert ModelMetadata.from_annotations({"org.example": "x", "customProperties+json": "{"}).is_empty
    assert ModelMetadata.from_annotations({"customProperties+json": "[1]", "name": "m"}).name == "m"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- a\n- b", "no object"),
        (b"a: b: c", "neither JSON nor YAML"),
        (b"\xff\xfe", "neither JSON nor YAML"),
        (json.dumps({"name": 3}).encode(), "name is 3"),
        (json.dumps({"customProperties": [1]}).encode(), "customProperties is no object"),
        (json.dumps({"customProperties": {"a": 1}, "a": 2}).encode(), "a: given twice"),
        (yaml.safe_dump({"accuracy": float("nan")}).encode(), "cannot be written as JSON"),
        (b"when: 2026-01-01", "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_metadata_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        ModelMetadata.parse(content, "metadata")


@pytest.mark.parametrize(
    "lines",
    [
        [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 10 if one else ['x'] * 10)}]" for one in range(10)],
        ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10))],
        ["a: &a [1, *a]"],
        [f"{one}: {'x' * 1000}" for one in range(300)],
    ],
    ids=["that aliases multiply", "that merges multiply", "that holds itself", "too long to be read"],
)
def test_a_few_lines_do_not_fill_the_memory(lines: list[str]) -> None:
    with pytest.raises(RefusedError, match=r"is not followed|more than the 262,144 bytes"):
        ModelMetadata.parse("\n".join(lines).encode(), "metadata of a stranger")


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(RefusedError) as raised:
        ModelMetadata.of({"name": 3, "uri": [], "customProperties": 1})
    assert len(raised.value.problems) == 3
