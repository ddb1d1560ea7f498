"""Migrations by example, and a third version that shows the chain."""

import copy
from typing import Any

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items import migrations
from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.domain.items.migrations import MIGRATIONS, Migration, current, declared_as, is_outdated, migrate
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.drift import diff
from tests.factories import KNOWLEDGE, base_model, dataset


def former(item: Item, **properties: Any) -> Item:
    """``item`` as a release wrote it that knew only version 1.0.0."""
    uris = [*item["stac_extensions"], items.schema_uri("base-model", "1.0.0")]
    said = {"fair:schema_version": "1.0.0"} | properties
    return item | {"stac_extensions": uris, "properties": item["properties"] | said}


def test_an_item_of_the_first_version_gets_category_and_coverage() -> None:
    migrated = migrate(former(base_model()), KNOWLEDGE)
    properties = migrated["properties"]
    assert (properties["fair:category"], properties["fair:coverage"]) == ("building", "NP")
    assert properties["fair:schema_version"] == items.SCHEMA_VERSION == "1.1.0"
    assert items.schema_uri("base-model", "1.1.0") in migrated["stac_extensions"]
    assert items.schema_uri("base-model", "1.0.0") not in migrated["stac_extensions"]


def test_a_migration_loses_nothing_and_leaves_the_item_it_was_given_alone() -> None:
    item = former(base_model(), **{"fair:pinned": True, "created": "2026-01-01T00:00:00Z", "fair:patched": ["x"]})
    item["links"] = [{"rel": "about", "href": "https://example.org"}]
    before = copy.deepcopy(item)
    migrated = migrate(item, KNOWLEDGE)
    assert item == before
    kept = {key: value for key, value in before["properties"].items() if key != "fair:schema_version"}
    assert kept == {key: migrated["properties"][key] for key in kept}
    for section in ("links", "assets", "geometry", "bbox", "id"):
        assert migrated[section] == before[section]


def test_a_users_own_category_gives_way_and_is_noted_as_theirs_no_longer() -> None:
    theirs = {"fair:category": "huts", "fair:patched": ["properties.fair:category", "properties.title"]}
    item = former(base_model(), **theirs)
    migrated = current(item, KNOWLEDGE)
    assert migrated["properties"]["fair:category"] == "building"
    (change,) = diff([item], [migrated]).changes
    assert {"properties.fair:category", "properties.fair:patched"} <= set(change.reason.split(", "))
    assert change.item is not None
    assert change.item["properties"]["fair:patched"] == ["properties.title"]


def test_an_item_of_the_newest_version_is_not_touched() -> None:
    item = migrate(former(base_model()), KNOWLEDGE)
    assert migrate(item, KNOWLEDGE) is item


def test_the_chain_passes_every_version_between() -> None:
    def rename(item: Item, _: Knowledge) -> Item:
        item["properties"]["fair:about"] = item["properties"].pop("fair:category")
        return item

    # In no order: the table is looked up, not walked.
    table = (Migration("1.1.0", "2.0.0", rename), *MIGRATIONS)
    migrated = migrate(former(base_model()), KNOWLEDGE, "2.0.0", table)
    properties = migrated["properties"]
    assert (properties["fair:about"], properties["fair:schema_version"]) == ("building", "2.0.0")
    assert "fair:category" not in properties
    assert items.schema_uri("base-model", "2.0.0") in migrated["stac_extensions"]


@pytest.mark.parametrize(
    ("said", "told"),
    [("9.0.0", "is newer than '1.1.0'"), ("0.9.0", "this release migrates from 1.0.0"), ("new", "cannot be migrated")],
)
def test_a_version_without_a_way_to_the_newest_is_refused_by_name(said: str, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as refusal:
        migrate(former(base_model(), **{"fair:schema_version": said}), KNOWLEDGE)
    assert said in str(refusal.value)
    assert "'ramp'" in str(refusal.value)


def test_a_table_that_leads_in_a_circle_is_refused() -> None:
    back = (*MIGRATIONS, Migration("1.1.0", "1.0.0", lambda item, _: item))
    with pytest.raises(RefusedError):
        migrate(former(base_model()), KNOWLEDGE, "2.0.0", back)


@pytest.mark.parametrize(
    ("version", "outdated"),
    [("1.0.0", True), ("1.1.0", False), ("1.10.0", False), ("0.9.9", True), ("9.0.0", False), ("new", False)],
)
def test_outdated_is_what_can_be_brought_to_a_newer_version(version: str, *, outdated: bool) -> None:
    assert is_outdated(former(base_model(), **{"fair:schema_version": version})) is outdated


def test_an_item_that_says_no_version_follows_the_schema_it_declares_or_the_first_one() -> None:
    silent = dataset()
    declaring = silent | {"stac_extensions": [items.schema_uri("dataset", "1.1.0")]}
    assert migrations.schema_version(silent) == "1.0.0"
    assert migrations.schema_version(declaring) == "1.1.0"


def test_what_is_derived_is_put_right_at_the_newest_version_too() -> None:
    item = migrate(former(base_model()), KNOWLEDGE)
    item["properties"] |= {"fair:category": "cheese", "fair:coverage": "XX"}
    properties = current(item, KNOWLEDGE)["properties"]
    assert (properties["fair:category"], properties["fair:coverage"]) == ("building", "NP")


def test_a_contributors_item_keeps_to_the_version_that_it_was_written_for() -> None:
    item = base_model() | {"stac_extensions": [items.schema_uri("base-model", "1.0.0"), "https://example.org/x.json"]}
    item["properties"] |= {"fair:schema_version": "9.0.0", "fair:category": "cheese"}
    told = declared_as(item, "base-model", KNOWLEDGE)
    assert told["stac_extensions"] == ["https://example.org/x.json", items.schema_uri("base-model", "1.0.0")]
    assert told["properties"]["fair:category"] == "building"
    assert "fair:schema_version" not in told["properties"]
