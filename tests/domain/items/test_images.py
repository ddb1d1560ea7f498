"""Which runtimes are images, and what runs of them."""

import pytest

from fair_dagster.domain.items.images import IMAGE, image_of, is_image, pinned_images, unpinned_images, with_pins
from tests.factories import base_model

ASKED = "docker://ghcr.io/hotosm/ramp:v1"
PINNED = "ghcr.io/hotosm/ramp@sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("href", "media", "expected"),
    [
        ("local", "text/plain", False),
        ("local", "application/vnd.oci.image.index.v1+json", False),
        ("ghcr.io/hotosm/ramp:v1", "application/vnd.oci.image.index.v1+json", True),
        ("https://ghcr.io/hotosm/ramp:v1", "application/vnd.oci.image.index.v1+json", True),
        ("docker://ghcr.io/hotosm/ramp:v1", "", True),
        ("ghcr.io/hotosm/ramp:v1", "", True),
        ("https://example.org/training.cwl", "application/cwl+yaml", False),
        ("https://github.com/x/y/Dockerfile", "", False),
        ("", "", False),
    ],
)
def test_only_images_are_taken_for_images(href: str, media: str, expected: bool) -> None:
    assert is_image({"href": href, "type": media} if media else {"href": href}) is expected


def test_a_pin_stands_beside_what_was_asked_for() -> None:
    model = base_model()
    model["assets"]["mlm:training"] |= {"href": ASKED, IMAGE: "by-hand"}
    assert unpinned_images(with_pins(model, {})) == {"mlm:training": ASKED}
    pinned = with_pins(model, {ASKED: PINNED, "another": "image"})
    assert pinned_images(pinned) == {ASKED: PINNED}
    assert unpinned_images(pinned) == {}
    assert image_of(pinned["assets"]["mlm:training"]) == PINNED
    assert image_of({"href": ASKED}) == "ghcr.io/hotosm/ramp:v1"
    assert model["assets"]["mlm:training"][IMAGE] == "by-hand"
