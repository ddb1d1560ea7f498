"""What counts as a difference, and what a difference means; ``test_publication`` has the desired state itself."""

from uuid import UUID

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.items.copies import copy_item
from fair_dagster.domain.items.patches import PATCHED, apply_patch
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import desired_items, local_family, was_promoted
from fair_dagster.domain.publication.drift import diff, overlay
from fair_dagster.domain.publication.findings import Finding, family_findings
from fair_dagster.domain.publication.promoted_items import local_item
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import Stage, VersionRecord
from tests.factories import KNOWLEDGE, base_model, dataset, version

CREATED = "2026-01-01T00:00:00Z"


def content(record: VersionRecord) -> Item:
    request = FinetuneRequest.of(record)
    assert request is not None
    return local_item(record, request, base_model(), dataset(), {}, knowledge=KNOWLEDGE)


def staged(number: int, stage: Stage, uuid: int = 0) -> VersionRecord:
    return version(number, stage, uuid=str(UUID(int=uuid or number)))


def written(*versions: VersionRecord, before: list[Item] | None = None) -> list[Item]:
    family = desired_items(local_family("ramp-nepal", versions, before or [], content))
    return [change.item for change in diff(before or [], family).changes if change.item is not None]


def findings(published: list[Item], *versions: VersionRecord) -> list[Finding]:
    changes = diff(published, desired_items(local_family("ramp-nepal", versions, published, content)))
    return family_findings(published, changes, {one.id: one.uuid for one in versions})


@pytest.mark.parametrize("uid", [None, "", "mistyped", 7, {"a": 1}])
def test_an_item_that_lost_its_uuid_keeps_its_users_fields(uid: object) -> None:
    now = staged(1, "production")
    (item,) = written(now)
    item = apply_patch(item, {"properties": {"title": "Ours", "fair:pinned": True}})
    damaged = copy_item(item)
    damaged["properties"][items.ZENML_UID] = uid
    (finding,) = findings([damaged], now)
    assert (finding.kind, "fair:zenml_version_id" in finding.detail) == ("altered", True)
    (restored,) = written(now, before=[damaged])
    restored["properties"]["updated"] = item["properties"]["updated"]
    assert restored == item


def test_an_archived_version_stays_published_although_its_item_lost_its_uuid() -> None:
    (item,) = written(staged(1, "production"))
    del item["properties"][items.ZENML_UID]
    archived = staged(1, "archived")
    assert not was_promoted(archived, frozenset())
    assert [found.kind for found in findings([item], archived)] == ["altered"]


def test_a_number_that_is_used_again_takes_over_nothing() -> None:
    (item,) = written(staged(1, "production"))
    item = apply_patch(item, {"properties": {"title": "Ours"}})
    again = staged(1, "production", uuid=9)
    assert [found.kind for found in findings([item], again)] == ["orphaned"]
    (taken,) = written(again, before=[item])
    assert taken["properties"]["title"] != "Ours"


@pytest.mark.parametrize("stamp", ["created", "updated"])
@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", 7, None])
def test_a_stamp_that_is_no_time_is_a_difference_and_is_set_anew(stamp: str, text: object) -> None:
    (item,) = written(staged(1, "production"))
    whole = copy_item(item)
    item["properties"][stamp] = text
    changes = diff([item], [whole] if stamp == "created" else [copy_item(item)])
    (change,) = changes.changes
    assert change.reason == f"properties.{stamp}"
    assert change.item is not None
    assert str(change.item["properties"][stamp]).endswith("Z")
    assert not diff([change.item], [whole])


def test_a_restored_item_is_not_created_at_what_is_no_time() -> None:
    (item,) = written(staged(1, "production"))
    item["properties"]["created"] = "yesterday"
    (change,) = diff([], [item]).changes
    assert change.item is not None
    assert change.item["properties"]["created"] == change.item["properties"]["updated"]


@pytest.mark.parametrize("text", [CREATED, "2026-01-01T00:00:00.123456+05:45"])
def test_the_time_of_creation_stays(text: str) -> None:
    (item,) = written(staged(1, "production"))
    item["properties"]["created"] = text
    desired = copy_item(item)
    del desired["properties"]["created"]
    assert overlay(item, desired)["properties"]["created"] == text
    assert not diff([item], [desired])


def test_what_is_managed_by_now_is_no_users_field_any_more() -> None:
    item = base_model(**{PATCHED: ["properties.fair:category", "properties.title"]})
    assert overlay(item, item)["properties"][PATCHED] == ["properties.title"]
    only = base_model(**{PATCHED: ["properties.fair:category"]})
    assert PATCHED not in overlay(only, only)["properties"]


def test_a_stage_that_was_changed_in_zenml_reads_like_that_and_not_like_an_edit() -> None:
    published = written(staged(1, "production"))
    (finding,) = findings(published, staged(1, "archived"))
    assert (finding.kind, finding.detail) == ("stage", "archived in ZenML, and in production here")
    assert finding.family == "ramp-nepal"


def test_a_rollback_in_zenml_explains_the_links_of_the_whole_family() -> None:
    first, second, third = staged(1, "production"), staged(2, "production"), staged(3, "production")
    published = written(first)
    for former, latest in (([staged(1, "archived")], second), ([staged(1, "archived"), staged(2, "archived")], third)):
        family = {item["id"]: item for item in published}
        family |= {item["id"]: item for item in written(*former, latest, before=published)}
        published = list(family.values())
    found = findings(published, staged(1, "production"), staged(2, "archived"), staged(3, "archived"))
    assert {one.item: (one.kind, one.detail.split(",")[0]) for one in found} == {
        "ramp-nepal-v1": ("stage", "in production in ZenML"),
        "ramp-nepal-v2": ("stage", "its links follow a version whose stage was changed in ZenML"),
        "ramp-nepal-v3": ("stage", "archived in ZenML"),
    }


def test_what_a_stage_does_not_explain_is_altered() -> None:
    (item,) = written(staged(1, "production"))
    item["properties"]["license"] = "none of ours"
    (finding,) = findings([item], staged(1, "archived"))
    assert finding.kind == "altered"
    whole = written(staged(1, "production"))
    whole[0]["links"] = []
    (linkless,) = findings(whole, staged(1, "production"))
    assert (linkless.kind, linkless.detail) == ("altered", "differs from what it should be: links")
