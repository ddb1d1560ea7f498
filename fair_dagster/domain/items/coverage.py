"""What an item is about and where it holds: ``fair:category`` and ``fair:coverage``, derived from its other fields.

Pure. Which country a point is in is asked of a function that is handed in; where it looks is the business of
``imagery.countries``.

See docs/decisions/0011.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.items.vocabulary import Vocabulary

CATEGORY = "fair:category"
COVERAGE = "fair:coverage"
DERIVED = frozenset({CATEGORY, COVERAGE})
GLOBAL = "global"

CountryOf = Callable[[float, float], str | None]
"""The ISO 3166-1 alpha-2 code of the country at a longitude and latitude (EPSG:4326); None where there is none."""

_WIDEST = 180.0
_HIGHEST = 90.0


@dataclass(frozen=True)
class Knowledge:
    """What deriving a field needs beyond the item."""

    vocabulary: Vocabulary
    country_of: CountryOf


def category(keywords: Sequence[str], vocabulary: Vocabulary) -> str | None:
    """The main thing that is mapped: the first keyword that names a feature. None where no keyword does."""
    mapped = vocabulary.mapped(keywords)
    return mapped[0] if mapped else None


def coverage(bbox: Sequence[float] | None, country_of: CountryOf) -> str:
    """``global``, or the country of the bbox's centre.

    ``global`` are an item without a bbox, one whose bbox spans more than half of the world either way (its centre is
    an accident of the map), and one whose centre is in no country: the high seas.

    Args:
        bbox: ``[west, south, east, north]`` in degrees, or with two heights between; west of the antimeridian and east
            of it where west is greater than east.
    """
    found = _plane(bbox)
    if found is None:
        return GLOBAL
    west, south, east, north = found
    width = (east - west) % 360 if west > east else east - west
    if width > _WIDEST or north - south > _HIGHEST:
        return GLOBAL
    longitude = (west + width / 2 + 180) % 360 - 180
    return country_of(longitude, (south + north) / 2) or GLOBAL


def derived_properties(item: Item, knowledge: Knowledge) -> dict[str, Any]:
    """The derived properties of ``item``. One that cannot be derived is left out: the rules say what is wrong."""
    keywords = item["properties"].get("keywords")
    words = [word for word in keywords if isinstance(word, str)] if isinstance(keywords, list) else []
    named = category(words, knowledge.vocabulary)
    return ({CATEGORY: named} if named else {}) | {COVERAGE: coverage(item.get("bbox"), knowledge.country_of)}


def _plane(bbox: Any) -> tuple[float, float, float, float] | None:
    numbers = [n for n in bbox if isinstance(n, int | float)] if isinstance(bbox, list | tuple) else []
    if len(numbers) == 4:
        return numbers[0], numbers[1], numbers[2], numbers[3]
    if len(numbers) == 6:
        return numbers[0], numbers[1], numbers[3], numbers[4]
    return None
