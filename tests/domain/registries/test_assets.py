"""The asset that names an artifact, and which artifacts are where."""

from dataclasses import replace

import pytest

from fair_dagster.domain.publication.promoted_items import local_item
from fair_dagster.domain.registries.assets import is_in, oci_asset, oci_href, repository_of
from fair_dagster.domain.requests import OCI_KEY
from tests.factories import KNOWLEDGE, base_model, dataset, finetune_request, version

HREF = f"oci://registry.example/fair/town@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("recorded", "named"), [(None, None), (HREF, HREF), ("oci://registry.example/fair/town:v1", None)]
)
def test_an_item_names_what_its_version_was_pushed_as(recorded: str | None, named: str | None) -> None:
    record = replace(version(), metadata={**version().metadata, OCI_KEY: recorded})
    item = local_item(record, finetune_request(), base_model(), dataset(), {}, knowledge=KNOWLEDGE)
    assert oci_href(item) == named


@pytest.mark.parametrize("href", [None, 3, "", "oci://r/x:tag", "https://r/x@sha256:" + "a" * 64, HREF + "#file"])
def test_what_may_mean_another_model_tomorrow_is_no_asset(href: object) -> None:
    assert oci_asset(href) is None


def test_a_repository_is_that_of_one_model() -> None:
    assert repository_of("oci://registry.example/fair/", "town") == "registry.example/fair/town"
    assert is_in([HREF], "registry.example/fair/town")
    assert not is_in([HREF], "registry.example/fair/to")
    assert not is_in([HREF.replace("town@", "town-two@")], "registry.example/fair/town")
    assert not is_in([], "registry.example/fair/town")
