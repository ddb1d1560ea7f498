"""Which country a point is in, offline: time zone polygons of tzfpy, and the country of each zone from tzdata.

Time zones follow borders, and the polygons reach over territorial waters. What is derived from the country is the
business of ``domain.coverage``.
"""

from functools import cache
from importlib import resources


def country_of(longitude: float, latitude: float) -> str | None:
    """The country at a point as the IANA time zone database has it.

    The polygons are simplified: a point within about 100 m of a border may be given to the neighbour.

    Args:
        longitude, latitude: degrees in EPSG:4326.

    Returns:
        The ISO 3166-1 alpha-2 code; None on the high seas, and for what is no place on earth.
    """
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        return None
    # The polygons take a tenth of a second and 30 MB, which only those who write an item should pay.
    from tzfpy import get_tz

    return _countries().get(get_tz(longitude, latitude))


@cache
def _countries() -> dict[str, str]:
    """Countries by zone. ``zone.tab`` names one for each zone, unlike ``zone1970.tab``."""
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text()
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return {zone: country for country, _, zone, *_ in rows}
