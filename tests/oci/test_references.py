"""Reading references of images."""

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.references import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("ghcr.io/hotosm/fair-models/ramp:v1", "ghcr.io/hotosm/fair-models/ramp:v1"),
        ("docker://ghcr.io/hotosm/ramp:v1", "ghcr.io/hotosm/ramp:v1"),
        ("oci://registry.example:5000/ramp", "registry.example:5000/ramp:latest"),
        ("https://ghcr.io/hotosm/unet_segmentation:latest", "ghcr.io/hotosm/unet_segmentation:latest"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("python", "docker.io/library/python:latest"),
        ("hotosm/ramp:v1", "docker.io/hotosm/ramp:v1"),
        ("docker.io/python:3.11", "docker.io/library/python:3.11"),
        ("index.docker.io/hotosm/ramp", "docker.io/hotosm/ramp:latest"),
        (f"ghcr.io/hotosm/ramp@{DIGEST}", f"ghcr.io/hotosm/ramp@{DIGEST}"),
        (f"ghcr.io/hotosm/ramp:v1@{DIGEST}", f"ghcr.io/hotosm/ramp:v1@{DIGEST}"),
    ],
)
def test_spellings_in_the_wild_are_read(text: str, whole: str) -> None:
    reference = Reference.parse(text)
    assert str(reference) == whole
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    ["", ":v1", "ghcr.io/", "ghcr.io/Hotosm/ramp", "ghcr.io/a/../b", "ghcr.io/a:v 1", "ghcr.io/a@sha256:abc",
     "ghcr.io/a@md5:" + "a" * 32, "user:pass@ghcr.io/a", "ghcr.io/a?x=1", "http://ghcr.io/a", "ghcr.io/a\n",
     "ghcr.io:99999999/a", "ghcr.io/" + "a" * 300, "ghcr.io//a", "ghcr.io/a:"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="image reference"):
        Reference.parse(text)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(RefusedError) as raised:
        Reference.parse("ghcr.io/UPPER:ta g@sha256:1")
    assert len(raised.value.problems) == 3


def test_a_digest_replaces_the_tag_and_comes_first() -> None:
    tagged = Reference.parse(f"ghcr.io/a/b:v1@{DIGEST}")
    assert tagged.version == DIGEST
    assert str(tagged.at(DIGEST)) == f"ghcr.io/a/b@{DIGEST}"


def test_docker_hub_answers_under_another_host() -> None:
    assert Reference.parse("python").api_host == "registry-1.docker.io"
    assert Reference.parse("ghcr.io/a/b").api_host == "ghcr.io"
