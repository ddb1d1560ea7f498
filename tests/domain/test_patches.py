import pytest

from fair_dagster.domain.drift import diff
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.patches import merge, patched
from fair_dagster.domain.publication import desired_items, release_family
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
        patched(base_model(), change)

    named = " ".join(refused.value.problems)
    for field in ("'id'", "mlm:name", "deprecated", "assets.model", "assets.thumbnail", "derived_from", "links[1]"):
        assert field in named
    assert "title" not in named


def test_patched_fields_survive_a_new_version_that_takes_over_the_id() -> None:
    first = desired_items(release_family("base-models", "ramp", [], base_model(), "one"))
    published = patched(first[0], {"properties": {"fair:pinned": True, "title": "Ours"}})
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
    published = patched(desired_items(family)[0], {"properties": {"fair:preview": None}})

    assert not diff([published], desired_items(family)).changes
