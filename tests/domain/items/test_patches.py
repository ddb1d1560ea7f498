from datetime import UTC, datetime

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.patches import apply_patch, merge
from fair_dagster.domain.publication.desired import desired_items, release_family
from fair_dagster.domain.publication.drift import diff, to_edit
from tests.factories import base_model


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (["a", "b"], ["c"], ["c"]),
    ],
)
def test_merge_follows_the_examples_of_rfc_7396(target: object, patch: object, result: object) -> None:
    assert merge(target, patch) == result


def test_a_patch_of_managed_fields_is_refused_by_name() -> None:
    change = {
        "id": "other",
        "properties": {"mlm:name": "x", "deprecated": True, "title": "fine"},
        "assets": {"model": {"href": "https://example.org/evil.onnx"}, "thumbnail": {"roles": ["code"]}},
        "links": [{"rel": "derived_from", "href": "catalog://base-models/evil"}, {"rel": "about"}],
    }

    with pytest.raises(RefusedError) as refused:
        apply_patch(base_model(), change)

    named = " ".join(refused.value.problems)
    for field in ("'id'", "mlm:name", "deprecated", "assets.model", "assets.thumbnail", "derived_from", "links[1]"):
        assert field in named
    assert "title" not in named


def test_patched_fields_survive_a_new_version_that_takes_over_the_id() -> None:
    first = desired_items(release_family("base-models", "ramp", [], base_model(), "one"))
    published = apply_patch(first[0], {"properties": {"fair:pinned": True, "title": "Ours"}})
    newer = base_model(title="Theirs", description="Second.")

    changes = diff([published], desired_items(release_family("base-models", "ramp", [published], newer, "two")))

    active = next(change.item for change in changes.changes if change.key.id == "ramp")
    assert active is not None
    assert active["properties"]["version"] == "2"
    assert active["properties"]["title"] == "Ours"
    assert active["properties"]["fair:pinned"] is True
    assert active["properties"]["description"] == "Second."


def test_a_field_that_a_patch_removed_stays_removed() -> None:
    family = release_family("base-models", "ramp", [], base_model(**{"fair:preview": {"zoom": 19}}), "one")
    published = apply_patch(desired_items(family)[0], {"properties": {"fair:preview": None}})

    assert not diff([published], desired_items(family)).changes


def test_a_rollback_brings_back_what_was_patched_on_that_version() -> None:
    first = desired_items(release_family("base-models", "ramp", [], base_model(), "one"))
    mine = [apply_patch(first[0], {"properties": {"title": "Mine", "fair:pinned": True}})]
    second = desired_items(release_family("base-models", "ramp", mine, base_model(), "two"))
    catalog = [change.item for change in diff(mine, second).changes if change.item]
    catalog = [apply_patch(i, {"properties": {"title": "Two"}}) if i["id"] == "ramp" else i for i in catalog]

    family = release_family("base-models", "ramp", catalog, base_model(), "one")
    changes = diff(catalog, desired_items(family)).changes

    back = next(change.item for change in changes if change.key.id == "ramp")
    assert back is not None
    assert (back["properties"]["version"], back["properties"]["title"]) == ("1", "Mine")
    assert back["properties"]["fair:pinned"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"stac_extensions": [1]},
        {"stac_extensions": [["a"]]},
        {"links": [{"rel": ["a"], "href": "b"}]},
        {"links": ["x"]},
        {"links": {"rel": "about"}},
        {"assets": {"thumbnail": "x"}},
        {"properties": ["title"]},
        ["title"],
    ],
)
def test_a_patch_of_the_wrong_form_is_refused_in_words(change: object) -> None:
    with pytest.raises(RefusedError):
        apply_patch(base_model(), change)  # type: ignore[arg-type]


def test_an_edit_moves_the_time_of_the_last_update_and_nothing_else() -> None:
    before = base_model(updated="2026-01-01T00:00:00Z")
    moment = datetime(2026, 2, 1, tzinfo=UTC)

    (change,) = to_edit(before, apply_patch(before, {"properties": {"title": "Ours"}}), now=moment).changes

    assert change.item is not None
    assert change.item["properties"]["updated"] == "2026-02-01T00:00:00Z"
    assert not to_edit(before, before)
