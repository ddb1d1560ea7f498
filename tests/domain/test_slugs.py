import pytest
from hypothesis import given
from hypothesis import strategies as st

from fair_dagster.domain.slugs import SLUG_PATTERN, slug_problems, split_version_id, version_id


@pytest.mark.parametrize("slug", ["ramp", "ramp-nepal", "a1-b2", "v1", "x" * 63])
def test_a_good_slug_has_no_problems(slug: str) -> None:
    assert slug_problems(slug) == []


@pytest.mark.parametrize(
    "slug", ["", "Ramp", "a/b", "..", "../x", "a--b", "-a", "a-", "a_b", "ramp-v2", "ramp-v02", "x" * 64, "a\n", "ä"]
)
def test_a_bad_slug_has_a_problem(slug: str) -> None:
    assert slug_problems(slug)


@given(st.from_regex(SLUG_PATTERN, fullmatch=True), st.integers(min_value=0))
def test_a_version_id_can_be_taken_apart(slug: str, number: int) -> None:
    assert split_version_id(version_id(slug, number)) == (slug, number)


def test_a_number_with_leading_zeros_names_no_version() -> None:
    assert split_version_id("ramp-v01") == ("ramp-v01", None)
