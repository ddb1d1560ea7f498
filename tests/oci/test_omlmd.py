"""omlmd as the counterpart, in an environment of its own: equal bytes, both directions."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.oci.artifacts.listing import look
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import parts_of, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries

METADATA: list[dict[str, Any]] = [
    {},
    {"name": "Mnist", "author": "John Doe", "license": "Apache-2.0", "accuracy": 0.9777777777777777},
    {
        "name": "Größe",
        "description": 'two\nlines, "quoted": yes',
        "model_format_name": "onnx",
        "model_format_version": "1",
        "tags": ["a", 1, None, True],
        "nested": {"z": 1, "a": {"b": []}},
        "count": 3,
    },
]


def run(command: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(command), *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights" * 1000)
    return path


@pytest.mark.parametrize("metadata", METADATA)
def test_a_file_has_the_digest_that_omlmd_gives_it(
    registries: Registries, place: Reference, omlmd: Path, model: Path, metadata: dict[str, Any]
) -> None:
    given = ["--empty-metadata"]
    if metadata:
        (model.parent / "given.json").write_text(json.dumps(metadata))
        given = ["--metadata", str(model.parent / "given.json")]
    run(omlmd, model.parent, "push", "--plain-http", str(place), str(model), *given)
    ours = push(registries, place.with_tag("ours"), parts_of([model]), ModelMetadata.of(metadata))
    assert ours.digest == registries.digest_of(place)
    assert ours.uploaded == 0
    found = look(registries, place).metadata
    assert found == ModelMetadata.of(metadata)


def test_omlmd_pulls_and_crawls_what_we_push(
    registries: Registries, place: Reference, omlmd: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("# Card")
    metadata = ModelMetadata.of({"name": "m", "uri": "https://example.org/m", "accuracy": 0.5})
    push(registries, place, parts_of([model, tmp_path / "README.md"]), metadata)
    out = tmp_path / "out"
    out.mkdir()
    run(omlmd, out, "pull", "--plain-http", str(place), "-o", str(out))
    assert (out / "model.onnx").read_bytes() == model.read_bytes()
    assert (out / "README.md").read_text() == "# Card"
    (crawled,) = json.loads(run(omlmd, out, "crawl", "--plain-http", str(place)))
    assert crawled["config"] == metadata.document()


def test_we_pull_what_omlmd_pushes(
    registries: Registries, place: Reference, omlmd: Path, model: Path, tmp_path: Path
) -> None:
    run(omlmd, model.parent, "push", "--plain-http", str(place), str(model), "--empty-metadata")
    pull(registries, place, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
