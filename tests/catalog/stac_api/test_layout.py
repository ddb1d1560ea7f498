"""The form in which items are stored behind an API: whatever they hold, they come back as they were."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.spelling import AS_WRITTEN
from fair_dagster.domain.items.stac import Item, ItemKey
from tests.catalog.sets import item, key

URL = "https://stac.example.org/api"
INTERNAL = "http://stac:8080"
PATHS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=20)
HREFS = st.one_of(
    PATHS.filter(lambda path: not path.startswith("/")).map(lambda path: f"/data/{path}"),
    st.sampled_from(
        [
            "catalog://base-models/ramp",
            "catalog://local-models/ramp-v12",
            "https://example.org/a?b=c#d",
            "s3://bucket/a b",
            "oci://registry/x@sha256:ab",
            "file:///tmp/x",
            "urn:x:y",
            f"{URL}/docs",
            f"{URL}/collections/others/items/x",
        ]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.sampled_from(
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5Z",
        "2026-01-01T02:00:00+02:00",
        "no time",
        "2026-01-01T00:00:00",
        None,
    ]
)
LINKS = st.builds(
    lambda rel, href, more: more | {"rel": rel, "href": href},
    st.sampled_from(["about", "derived_from"]),
    HREFS,
    st.dictionaries(st.text(max_size=4), JSON, max_size=2),
)


@st.composite
def items(draw: st.DrawFn) -> Item:
    one = item("ramp", 1, **draw(st.dictionaries(st.text(max_size=5), JSON, max_size=4)))
    one["properties"]["updated"] = draw(TIMES)
    one["links"] = draw(st.lists(LINKS, max_size=4))
    one["assets"] = draw(
        st.dictionaries(
            st.text(max_size=5),
            st.builds(lambda h, m: m | {"href": h}, HREFS, st.dictionaries(st.text(max_size=4), JSON, max_size=2)),
            max_size=3,
        )
    )
    return one | {
        f"x:{name}": value for name, value in draw(st.dictionaries(st.text(max_size=3), JSON, max_size=2)).items()
    }


def as_the_api_keeps(value: Any) -> Any:
    """Without the members that are null."""
    if isinstance(value, dict):
        return {name: as_the_api_keeps(member) for name, member in value.items() if member is not None}
    return [as_the_api_keeps(member) for member in value] if isinstance(value, list) else value


@given(items(), st.booleans())
def test_an_item_comes_back_as_it_was(one: Item, absolute: bool) -> None:
    layout = StacLayout(URL, absolute=absolute)
    before = copy.deepcopy(one)
    stored = layout.to_stored(one, key("ramp", 1))
    assert one == before
    assert layout.to_memory(as_the_api_keeps(stored), key("ramp", 1)) == one


@given(items())
def test_what_the_api_shows_is_the_same_item(one: Item) -> None:
    """It resolves links, drops what STAC does not define, writes times its own way and adds links."""
    from urllib.parse import urljoin

    shown = as_the_api_keeps(StacLayout(INTERNAL).to_stored(one, key("ramp", 1)))
    shown = {name: value for name, value in shown.items() if not name.startswith("x:")}
    shown["links"] = [
        *({"rel": rel, "href": f"{URL}/x"} for rel in ("root", "parent", "collection", "self")),
        *(link | {"href": urljoin(f"{URL}/", link["href"])} for link in shown["links"]),
    ]
    if shown["properties"].get("updated") == "2026-01-01T02:00:00+02:00":
        shown["properties"]["updated"] = "2026-01-01T00:00:00Z"
    assert StacLayout(INTERNAL, announced=lambda: URL).to_memory(shown, key("ramp", 1)) == one


def test_links_are_relative_to_the_root_or_absolute() -> None:
    one = item("ramp", 2)
    hrefs = [link["href"] for link in StacLayout(URL).to_stored(one, key("ramp", 2))["links"]]
    assert hrefs == ["collections/base-models/items/ramp", "collections/local-models/items/ramp-v1"]
    absolute = StacLayout(INTERNAL, announced=lambda: f"{URL}/", absolute=True).to_stored(one, key("ramp", 2))
    assert absolute["links"][0]["href"] == f"{URL}/collections/base-models/items/ramp"


@pytest.mark.parametrize("root", [URL, INTERNAL])
def test_a_link_below_either_address_of_the_api_is_one_to_an_item(root: str) -> None:
    stored = item("ramp", 1) | {"links": [{"rel": "about", "href": f"{root}/collections/datasets/items/banepa"}]}
    memory = StacLayout(INTERNAL, announced=lambda: URL).to_memory(stored, ItemKey("local-models", "ramp-v1"))
    assert memory["links"] == [{"rel": "about", "href": "catalog://datasets/banepa"}]


@pytest.mark.parametrize("note", [None, [], "x", {"nulls": "x", "times": []}, {"nulls": ["", "/a", "/links/9/b", 3]}])
def test_a_note_that_somebody_else_wrote_does_no_harm(note: Any) -> None:
    one = item("ramp", 1, **{AS_WRITTEN: note})
    read = StacLayout(URL).to_memory(copy.deepcopy(one), key("ramp", 1))
    assert AS_WRITTEN not in read["properties"]
    assert read["properties"].items() <= one["properties"].items()


def test_what_was_changed_since_is_not_turned_back() -> None:
    layout = StacLayout(URL)
    stored = layout.to_stored(item("ramp", 1, updated="2026-01-01T01:00:00+01:00", note=None), key("ramp", 1))
    stored["properties"] |= {"updated": "2026-05-01T00:00:00Z", "note": "changed"}
    properties = layout.to_memory(stored, key("ramp", 1))["properties"]
    assert (properties["updated"], properties["note"]) == ("2026-05-01T00:00:00Z", "changed")
