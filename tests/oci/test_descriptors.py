"""Manifests as they come from registries: what is read, and what is refused by name."""

import json
from typing import Any

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.descriptors import (
    DOCKER_MANIFEST,
    EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    digest_of,
)

LAYER = Descriptor.of(b"x", "application/x-mlmodel", {"org.opencontainers.image.title": "m.onnx"})


def document(**changes: Any) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": EMPTY.document(),
            "layers": [LAYER.document()],
        }
        | changes
    ).encode()


def test_a_manifest_is_its_bytes() -> None:
    made = Manifest.make(config=EMPTY, layers=[LAYER], artifact_type="a/b", subject=LAYER, annotations={"k": "v"})
    read = Manifest.parse(made.body, OCI_MANIFEST, "x")
    assert (read, read.digest) == (made, digest_of(made.body))
    assert read.layers == (LAYER,)
    assert read.layers[0].title == "m.onnx"
    assert read.subject == Descriptor(LAYER.media_type, LAYER.digest, LAYER.size)
    assert read.descriptor == Descriptor(OCI_MANIFEST, made.digest, len(made.body), {"k": "v"}, "a/b")


def test_an_artifact_without_a_type_is_of_the_type_of_its_config() -> None:
    assert Manifest.parse(document(), OCI_MANIFEST, "x").artifact_type == EMPTY.media_type


def test_an_index_has_entries_and_no_blobs() -> None:
    index = Manifest.make_index([LAYER])
    assert (index.is_index, index.manifests, index.blobs) == (True, (LAYER,), ())


@pytest.mark.parametrize(
    ("body", "media_type", "words"),
    [
        (b"{", OCI_MANIFEST, "is not JSON"),
        (b"[]", OCI_MANIFEST, "is no JSON object"),
        (document(), "text/html", "text/html"),
        (document(), DOCKER_MANIFEST, "calls itself"),
        (document(layers=None), OCI_MANIFEST, "layers is no list"),
        (document(config=None), OCI_MANIFEST, "config: is no JSON object"),
        (document(layers=[{**LAYER.document(), "digest": "md5:1"}]), OCI_MANIFEST, r"layers\[0\]: digest is 'md5:1'"),
        (document(layers=[{**LAYER.document(), "size": -1}]), OCI_MANIFEST, r"layers\[0\]: size is -1"),
        (document(layers=[{**LAYER.document(), "annotations": {"a": 1}}]), OCI_MANIFEST, "annotations is no object"),
        (document(annotations={"a": 1}), OCI_MANIFEST, "annotations is no object of strings"),
        (document(subject={"digest": "x"}), OCI_MANIFEST, "subject: mediaType is None"),
        (document(mediaType=OCI_INDEX, manifests=[1]), OCI_INDEX, r"manifests\[0\]: is no JSON object"),
    ],
)
def test_what_is_no_manifest_is_refused_by_name(body: bytes, media_type: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        Manifest.parse(body, media_type, "registry.example.org/m:v1")


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(RefusedError) as raised:
        Manifest.parse(document(config=1, layers=[1, {"size": "x"}]), OCI_MANIFEST, "x")
    assert len(raised.value.problems) == 5
