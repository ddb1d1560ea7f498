"""Countries near borders, on islands and at sea."""

import subprocess
import sys

import pytest

from fair_dagster.imagery.countries import country_of


@pytest.mark.parametrize(
    ("place", "latitude", "longitude", "country"),
    [
        ("Banepa", 27.63, 85.52, "NP"),
        ("Raxaul, across the river from Birgunj", 26.98, 84.85, "IN"),
        ("Birgunj", 27.01, 84.877, "NP"),
        ("Goma", -1.674, 29.2285, "CD"),
        ("Gisenyi, the same town in another country", -1.7005, 29.2565, "RW"),
        ("Basel", 47.5596, 7.5886, "CH"),
        ("Weil am Rhein", 47.593, 7.621, "DE"),
        ("Saint-Louis", 47.589, 7.56, "FR"),
        ("El Paso", 31.76, -106.48, "US"),
        ("Ciudad Juárez", 31.735, -106.475, "MX"),
        ("Kinshasa", -4.32, 15.31, "CD"),
        ("Brazzaville", -4.263, 15.283, "CG"),
        ("Lomé", 6.13, 1.22, "TG"),
        ("Maseru, an enclave", -29.31, 27.48, "LS"),
        ("Nimule, on the border", 3.6, 32.05, "SS"),
        ("Gaza", 31.5, 34.466, "PS"),
        ("Funafuti, an atoll", -8.52, 179.2, "TV"),
        ("Nauru", -0.53, 166.93, "NR"),
        ("Taveuni, where the days meet", -16.8, -179.99, "FJ"),
        ("the harbour of Mombasa", -4.08, 39.75, "KE"),
        ("the Gulf of Guinea", 0.0, 0.0, None),
        ("the Pacific", 0.0, -140.0, None),
        ("no place on earth", 0.0, 500.0, None),
    ],
)
def test_the_country_of(place: str, latitude: float, longitude: float, country: str | None) -> None:
    assert country_of(longitude, latitude) == country, place


def test_loading_the_definitions_does_not_load_the_polygons() -> None:
    code = "import sys, fair_dagster.definitions, fair_dagster.cli; print('tzfpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
