"""How a table is fitted to a width."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fair_dagster.cli.terminal.tables import GAP, Column, fit

WORDS = st.lists(st.text("abc-=/ 漢", max_size=30), min_size=3, max_size=3)
COLUMNS = (Column("version", whole=True), Column("base model"), Column("note", right=True))


def drawn(rows: list[list[str]], width: int) -> list[str] | None:
    from rich.console import Console

    fitted = fit(COLUMNS, rows, width)
    if fitted is None:
        return None
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(fitted.to_rich())
    return captured.get().splitlines()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(20, 120))
def test_a_table_that_fits_loses_no_character_and_is_never_too_wide(rows: list[list[str]], width: int) -> None:
    from rich.cells import cell_len

    lines = drawn(rows, width)
    if lines is None:
        return
    assert max(map(cell_len, lines)) <= width
    for position, character in enumerate("abc漢"):
        there = sum(text.count(character) for row in rows for text in row)
        headers = sum(column.title.count(character) for column in COLUMNS)
        assert sum(line.count(character) for line in lines) == there + headers, position


def test_a_slug_is_broken_after_a_hyphen_where_words_alone_do_not_fit() -> None:
    row = ["ramp-nepal-v1", "texture-segmentation v1", "x"]
    wide = fit(COLUMNS, [row], 60)
    narrow = fit(COLUMNS, [row], 13 + 12 + 4 + 2 * GAP)
    assert wide is not None
    assert narrow is not None
    assert narrow.widths == [13, 12, 4]
    assert fit(COLUMNS, [row], 13 + 12 + 4 + 2 * GAP - 1) is None


def test_what_people_copy_is_never_broken() -> None:
    assert fit(COLUMNS, [["a-very-long-version-id-v1", "ramp v1", "x"]], 30) is None
