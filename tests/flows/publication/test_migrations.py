"""Bringing published families to the newest schema: nothing is lost or removed, and one failure stops nobody."""

from pathlib import Path
from typing import Any

import pytest

from fair_dagster.catalog.validation.validator import KINDS
from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, NotFoundError, PartialError, RefusedError, ServiceError
from fair_dagster.domain.items import migrations
from fair_dagster.domain.items.coverage import DERIVED
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.publication import batches, patching, releases
from fair_dagster.flows.publication import families as local_models
from tests.flows.publication.former import make_former
from tests.installations import DATASET, MODEL, NAME, Installation


def migrate_family(installation: Installation, collection: str, slug: str) -> ChangeSet:
    """What a backfill or a repair does: publish anew what is there, and remove nothing."""
    if collection == items.LOCAL_MODELS:
        return local_models.recompute(installation.services, slug, keep_gone=True)
    return releases.republish(installation.services, collection, slug)


def versions_of(installation: Installation, collection: str) -> set[str]:
    return {migrations.schema_version(item) for item in installation.services.catalog.items(collection)}


def without_schema(item: Item) -> dict[str, Any]:
    """What a migration may not change."""
    moving = {"fair:schema_version", "updated", *DERIVED}
    return {key: value for key, value in item["properties"].items() if key not in moving}


def test_newly_published_items_say_what_is_mapped_and_where(installation: Installation) -> None:
    installation.promote(installation.trained())
    for collection in items.COLLECTIONS:
        (item,) = installation.services.catalog.items(collection)
        properties = item["properties"]
        assert properties["fair:schema_version"] == items.SCHEMA_VERSION, collection
        assert properties["fair:category"] == "building", collection
        assert installation.services.validator.validate(item, kind=KINDS[collection]).problems == ()
    town = installation.active(items.DATASETS, DATASET)["properties"]
    assert installation.active(items.LOCAL_MODELS, NAME)["properties"]["fair:coverage"] == town["fair:coverage"]


@pytest.mark.parametrize("collection", [items.BASE_MODELS, items.DATASETS, items.LOCAL_MODELS])
def test_items_of_a_former_version_stay_valid_and_are_migrated_in_place(
    installation: Installation, collection: str
) -> None:
    installation.promote(installation.trained())
    slug = {items.BASE_MODELS: MODEL, items.DATASETS: DATASET, items.LOCAL_MODELS: NAME}[collection]
    (former,) = make_former(installation, collection)
    assert installation.services.validator.validate(former, kind=KINDS[collection]).problems == ()
    migrate_family(installation, collection, slug)
    (item,) = installation.services.catalog.items(collection)
    assert migrations.schema_version(item) == items.SCHEMA_VERSION
    assert without_schema(item) == without_schema(former)
    assert (item["links"], item["assets"], item["id"]) == (former["links"], former["assets"], former["id"])
    assert not migrate_family(installation, collection, slug), "the second time nothing is left to do"


def test_former_releases_of_a_dataset_are_migrated_with_the_active_one(installation: Installation) -> None:
    installation.register_dataset(title="Another title")
    assert len(make_former(installation, items.DATASETS)) == 2
    migrate_family(installation, items.DATASETS, DATASET)
    assert versions_of(installation, items.DATASETS) == {items.SCHEMA_VERSION}


def test_registering_the_same_dataset_after_a_schema_change_makes_no_new_version(installation: Installation) -> None:
    make_former(installation, items.DATASETS)
    installation.register_dataset()
    (item,) = installation.services.catalog.items(items.DATASETS)
    assert (item["properties"]["version"], migrations.schema_version(item)) == ("1", items.SCHEMA_VERSION)


def test_what_users_wrote_survives_a_migration(installation: Installation) -> None:
    version = installation.trained()
    installation.promote(version)
    make_former(installation, items.LOCAL_MODELS)
    link = {"rel": "about", "href": "https://example.org/roofs"}
    change = {"properties": {"title": "Roofs", "fair:pinned": True}, "links": [link]}
    before = patching.patch(installation.services, version.id, change)
    migrate_family(installation, items.LOCAL_MODELS, NAME)
    after = item_flow.find(installation.services.catalog, version.id)
    assert (after["properties"]["title"], after["properties"]["fair:pinned"]) == ("Roofs", True)
    assert link in after["links"]
    assert after["properties"]["created"] == before["properties"]["created"]


def test_a_derived_field_cannot_be_patched(installation: Installation) -> None:
    with pytest.raises(RefusedError, match="fair:category is managed"):
        patching.patch(installation.services, DATASET, {"properties": {"fair:category": "cheese"}})


@pytest.mark.parametrize("gone", ["version", "model"])
def test_items_whose_zenml_version_is_gone_are_migrated_and_lose_nothing(installation: Installation, gone: str) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    installation.promote(second)
    former = {item["id"]: item for item in make_former(installation, items.LOCAL_MODELS)}
    if gone == "model":
        installation.versions.delete_model(NAME)
    else:
        installation.versions.delete(NAME, second.number)
    migrate_family(installation, items.LOCAL_MODELS, NAME)
    after = {item["id"]: item for item in installation.services.catalog.items(items.LOCAL_MODELS)}
    assert set(after) == {first.id, second.id}
    for id_, item in after.items():
        assert without_schema(item) == without_schema(former[id_])
        assert migrations.schema_version(item) == items.SCHEMA_VERSION
        assert Path(item["assets"]["model"]["href"]).is_file()
    assert installation.published() == {first.id: False, second.id: True}
    # Their removal is for those who react to the deletion.
    local_models.recompute(installation.services, NAME)
    assert second.id not in installation.published()


def test_a_version_in_production_takes_over_from_an_active_one_that_is_gone(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    installation.promote(second)
    installation.versions.delete(NAME, second.number)
    local_models.set_stage(installation.services, NAME, first.number, "production")
    migrate_family(installation, items.LOCAL_MODELS, NAME)
    assert installation.published() == {first.id: True, second.id: False}


def test_a_number_used_again_takes_the_place_of_the_one_that_is_gone(installation: Installation) -> None:
    first = installation.trained()
    installation.promote(first)
    installation.versions.delete(NAME, 1)
    again = installation.trained()
    local_models.set_stage(installation.services, NAME, again.number, "production")
    migrate_family(installation, items.LOCAL_MODELS, NAME)
    (item,) = installation.services.catalog.items(items.LOCAL_MODELS)
    assert item["properties"]["fair:zenml_version_id"] == again.uuid


def test_an_item_of_a_newer_release_is_refused_and_left_alone(installation: Installation) -> None:
    (item,) = installation.services.catalog.items(items.DATASETS)
    newer = item | {"properties": item["properties"] | {"fair:schema_version": "9.0.0"}}
    change = Change("update", ItemKey(items.DATASETS, item["id"]), "by a newer release", newer)
    installation.services.catalog.apply(ChangeSet((change,)))
    problems = installation.services.validator.validate(newer, kind="dataset").problems
    assert any("9.0.0" in problem for problem in problems)
    with pytest.raises(RefusedError, match="is newer than"):
        migrate_family(installation, items.DATASETS, DATASET)
    assert versions_of(installation, items.DATASETS) == {"9.0.0"}


def families(installation: Installation, *names: str) -> list[str]:
    for name in names:
        installation.promote(installation.trained(name))
    make_former(installation, items.LOCAL_MODELS)
    return list(names)


def run(installation: Installation, slugs: list[str], told: list[str] | None = None) -> batches.BatchOutcome:
    services = installation.services
    batch = batches.publish_artifacts(services, batches.gather(services, slugs, keep_gone=True))
    return batches.apply(services, batch, (told if told is not None else []).append)


def test_a_family_that_fails_does_not_stop_the_others_and_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    slugs = families(installation, "alpha", "beta", "gamma")
    catalog = installation.services.catalog
    apply = catalog.apply

    def picky(changes: ChangeSet) -> None:
        if any(change.key.id.startswith("beta") for change in changes.changes):
            raise CatalogError("no permission\nfor beta")
        apply(changes)

    monkeypatch.setattr(catalog, "apply", picky)
    outcome = run(installation, slugs)
    assert (set(outcome.changes), set(outcome.failures)) == ({"alpha", "gamma"}, {"beta"})
    with pytest.raises(PartialError, match="beta: no permission for beta"):
        outcome.require_whole()
    monkeypatch.undo()
    again = run(installation, slugs)
    assert {slug for slug, changes in again.changes.items() if changes} == {"beta"}, "the others are done"
    assert versions_of(installation, items.LOCAL_MODELS) == {items.SCHEMA_VERSION}


def test_one_bad_read_is_not_the_end_of_a_batch(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    slugs = families(installation, "alpha", "beta")
    catalog = installation.services.catalog
    family = catalog.family

    def picky(collection: str, slug: str) -> list[Item]:
        if slug == "alpha":
            raise CatalogError("alpha-v1.json is no JSON")
        return family(collection, slug)

    monkeypatch.setattr(catalog, "family", picky)
    outcome = run(installation, slugs)
    assert (set(outcome.changes), outcome.failures) == ({"beta"}, {"alpha": "alpha-v1.json is no JSON"})


def test_zenml_that_does_not_answer_fails_the_whole_batch_and_nothing_is_written(installation: Installation) -> None:
    slugs = families(installation, "alpha", "beta")
    installation.versions.broken["list_many"] = ServiceError("no answer")
    with pytest.raises(ServiceError):
        run(installation, slugs)
    assert versions_of(installation, items.LOCAL_MODELS) == {"1.0.0"}


def test_the_error_of_a_single_family_is_told_as_it_is(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    slugs = families(installation, "alpha")
    monkeypatch.setattr(installation.services.catalog, "apply", lambda _: (_ for _ in ()).throw(CatalogError("full")))
    with pytest.raises(CatalogError, match=r"^full$"):
        run(installation, slugs)


def test_a_dataset_without_an_item_is_named_and_the_others_are_republished(installation: Installation) -> None:
    make_former(installation, items.DATASETS)
    outcome = batches.republish(installation.services, items.DATASETS, [DATASET, "nowhere"], lambda _: None)
    assert (set(outcome.changes), set(outcome.failures)) == ({DATASET}, {"nowhere"})
    assert versions_of(installation, items.DATASETS) == {items.SCHEMA_VERSION}
    with pytest.raises(NotFoundError):
        batches.republish(installation.services, items.DATASETS, ["nowhere"], lambda _: None)
