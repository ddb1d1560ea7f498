"""What the tests of imagery share: real chips beside the repository, and chips made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fair_dagster.imagery.tiles import Tile

TILE = Tile(386690, 220241, 19)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The Banepa folder beside the repository."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "banepa"
    if not folder.is_dir():
        pytest.skip("the Banepa sample data is not beside the repository")
    return folder


@pytest.fixture
def write_png(tmp_path: Path) -> Callable[..., Path]:
    """Writes pixels as a PNG without any georeference inside."""

    def write(name: str, pixels: Any = None, *, size: int = 64) -> Path:
        from PIL import Image

        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size, size, 3), 90, np.uint8) if pixels is None else pixels).save(path)
        return path

    return write


@pytest.fixture
def write_tiff(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GeoTIFF with the given transform, reference system and pixels [bands, H, W]."""

    def write(name: str, transform: Any = None, crs: Any = None, pixels: Any = None) -> Path:
        import rasterio

        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.full((3, 64, 64), 90, np.uint8) if pixels is None else pixels
        bands, height, width = data.shape
        options = {"transform": transform} if transform is not None else {}
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=data.dtype, crs=crs, **options
        ) as target:
            target.write(data)
        return path

    return write
