"""The tree of exceptions, as the head of its module draws it."""

import inspect
import re

import pytest

from fair_dagster.domain import errors


def drawn() -> dict[str, set[str]]:
    """The bases of every error by the drawing: what it stands below, and what is named behind a dot."""
    found: dict[str, set[str]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if (row := re.fullmatch(r"( +)(\w+Error)(?: +(.*))?", line)) is None:
            continue
        depth, name = len(row[1]), row[2]
        above = [one for one in above if one[0] < depth]
        found[name] = {one for _, one in above[-1:]} | {*re.findall(r"· (\w+Error)", row[3] or "")}
        above.append((depth, name))
    return found


def test_the_drawing_is_the_tree() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    real = {kind.__name__: {base.__name__ for base in kind.__bases__} - {"Exception"} for kind in kinds}
    assert drawn() == real


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (errors.RefusedError, "request was refused:\n  - no chips\n  - no labels"),
        (errors.NotFoundError, "request was not found:\n  - no chips\n  - no labels"),
        (errors.PartialError, "request failed:\n  - no chips\n  - no labels"),
    ],
)
def test_an_error_with_problems_names_them_all(kind: type[errors.ProblemsError], text: str) -> None:
    error = kind("request", ["no chips", "no labels"])
    assert (str(error), error.subject, error.problems) == (text, "request", ("no chips", "no labels"))


@pytest.mark.parametrize("kind", [errors.NotFoundError, errors.PartialError])
def test_what_is_missing_or_half_done_was_not_refused(kind: type[Exception]) -> None:
    assert not issubclass(kind, errors.RefusedError)
