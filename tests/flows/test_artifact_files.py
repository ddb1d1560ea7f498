"""Addresses of files inside artifacts, and the copies that are made of them. Titles are a stranger's words."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.artifacts import Told, multihash
from fair_dagster.flows.artifact_files import file_href, href_problems, local_file, split_href
from fair_dagster.flows.services import Services
from fair_dagster.oci.descriptors import TITLE, Descriptor
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.settings import Settings
from fair_dagster.storage.cache import keep_copy

ARTIFACT = Reference.parse(f"registry.example.org/models/town@sha256:{'0' * 64}")
CONTENT = b"a stranger's model"


class OneLayer:
    """A registry whose every artifact has one layer, under the title that somebody gave it."""

    def __init__(self, title: str) -> None:
        digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
        self._layer = Descriptor("application/x-mlmodel", digest, len(CONTENT), {TITLE: title})

    def image_manifest(self, _reference: Reference) -> Any:
        return SimpleNamespace(layers=[self._layer])

    def download(self, _reference: Reference, _layer: Descriptor, target: Path) -> None:
        target.write_bytes(CONTENT)


def copied(settings: Settings, title: str) -> Path:
    services = cast(Services, SimpleNamespace(settings=settings))
    checksum = multihash(hashlib.sha256(CONTENT).hexdigest())
    return local_file(services, file_href(ARTIFACT, title), checksum, cast(Registries, OneLayer(title)))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def other_copy(settings: Settings) -> Path:
    """What the cache holds of another model."""
    other = settings.cache_path / "artifacts" / multihash("f" * 64) / "model.onnx"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another model")
    return other


@pytest.mark.parametrize("title", ["..", "a/..", "../model.onnx", "/model.onnx", "a\\b", "a\0b", "."])
def test_a_title_that_is_no_path_is_refused_and_the_cache_stays(
    settings: Settings, other_copy: Path, title: str
) -> None:
    with pytest.raises(RefusedError, match="title"):
        copied(settings, title)
    assert href_problems(file_href(ARTIFACT, title), "its ONNX model")
    assert other_copy.read_bytes() == b"another model"


@pytest.mark.parametrize("title", ["model.onnx", "deep/er/model.onnx", "a b#c?.onnx", "größe.onnx"])
def test_other_titles_arrive_under_their_name(settings: Settings, title: str) -> None:
    assert split_href(file_href(ARTIFACT, title)) == (ARTIFACT, title)
    found = copied(settings, title)
    assert (found.name, found.read_bytes()) == (Path(title).name, CONTENT)


@pytest.mark.parametrize("name", ["..", ".lock", ".partial-1"])
def test_a_copy_takes_no_name_of_the_cache_or_of_another_folder(
    settings: Settings, other_copy: Path, name: str
) -> None:
    def fetch(target: Path) -> str:
        target.write_bytes(CONTENT)
        return multihash(hashlib.sha256(CONTENT).hexdigest())

    told = Told(checksum=multihash(hashlib.sha256(CONTENT).hexdigest()))
    assert keep_copy(settings, "oci://anywhere", told, fetch, name).read_bytes() == CONTENT
    assert other_copy.read_bytes() == b"another model"
