"""Small pictures for people: predictions and labels over imagery, and loss curves.

PNG in memory, small enough to stand inside the metadata of an event. Nothing here is read back by a program.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import LONLAT, MERCATOR, find_chips, project
from fair_dagster.imagery.labels import Label
from fair_dagster.imagery.mosaic import Mosaic, mosaic_of

MAX_BYTES = 150_000
PREDICTED = (255, 122, 26)
LABELLED = (64, 224, 255)
_WIDTH = 840
_SUPERSAMPLING = 2
_STRIP = 26
_SERIES = {
    "train_loss": ("training", "#d9480f", "-"),
    "val_loss": ("validation", "#1971c2", "--"),
}


def prediction_picture(
    chips: Path | Sequence[Path],
    features: Mapping[str, Any],
    *,
    labels: Sequence[Label] = (),
    columns: int = 3,
    rows: int = 2,
    max_bytes: int = MAX_BYTES,
) -> bytes:
    """PNG of a few neighbouring chips with the predicted outlines and, where given, the labels.

    Args:
        chips: a folder of chips, or chip files.
        features: GeoJSON FeatureCollection of polygons in EPSG:4326; only those on the shown chips are drawn.
        labels: are drawn as lines in another colour.
        columns: of chips shown at most; the block with the most chips and features is chosen.
        rows: of chips shown at most.
        max_bytes: of the PNG; the picture is made smaller until it fits.

    Raises:
        RefusedError: no chip can be read.
    """
    polygons = _geometries(features)
    truth = np.array([label.geometry for label in labels], dtype=object)
    mosaic = mosaic_of(_paths(chips), (columns, rows), _points_of(polygons if len(polygons) else truth))
    layers = [(polygons, PREDICTED, 70, f"predicted ({_count(mosaic, polygons)})")]
    if len(truth):
        layers.append((truth, LABELLED, 0, f"labelled ({_count(mosaic, truth)})"))
    return _png(_drawn(mosaic, layers), max_bytes)


def loss_plot(history: Mapping[str, Sequence[float]]) -> bytes:
    """PNG of losses by epoch. ``history`` holds one list a series, e.g. ``train_loss`` and ``val_loss``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # The objects, not pyplot: pyplot keeps every figure of a long-lived process alive.
    figure = Figure(figsize=(6.0, 3.2), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, values in history.items():
        label, color, style = _SERIES.get(name, (name.replace("_", " "), None, "-"))
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, style, color=color, label=label, linewidth=2, marker="o", markersize=3)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if history:
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _paths(chips: Path | Sequence[Path]) -> list[Path]:
    paths = find_chips(chips) if isinstance(chips, Path) else list(chips)
    if not paths:
        raise RefusedError("picture", ["there are no chips to draw"])
    return paths


def _geometries(features: Mapping[str, Any]) -> Any:
    from shapely.geometry import shape

    found = [shape(feature["geometry"]) for feature in features["features"] if feature.get("geometry")]
    return np.array(found, dtype=object)


def _points_of(geometries: Any) -> Any:
    """A point in each geometry, [N, 2] in EPSG:3857."""
    import shapely

    if len(geometries) == 0:
        return np.zeros((0, 2))
    return project(shapely.get_coordinates(shapely.centroid(geometries)), LONLAT, MERCATOR)


def _count(mosaic: Mosaic, geometries: Any) -> int:
    points = _points_of(geometries)
    west, south, east, north = mosaic.bounds
    x, y = points[:, 0], points[:, 1]
    return int(((x >= west) & (x <= east) & (y >= south) & (y <= north)).sum())


def _drawn(mosaic: Mosaic, layers: list[tuple[Any, tuple[int, int, int], int, str]]) -> Any:
    """The mosaic with polygons, legend and scale bar; a Pillow image."""
    from PIL import Image

    width = min(_WIDTH, mosaic.image.width)
    height = round(mosaic.image.height * width / mosaic.image.width)
    base = mosaic.image.resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    # Lines are drawn at twice the size and shrunk: Pillow itself draws them jagged.
    size = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    overlay = Image.new("RGBA", size, (0, 0, 0, 0))
    for geometries, color, opacity, _ in layers:
        _draw_polygons(overlay, mosaic, geometries, color, opacity)
    base.alpha_composite(overlay.resize((width, height), Image.Resampling.LANCZOS))
    picture = Image.new("RGB", (width, height + _STRIP), (24, 27, 31))
    picture.paste(base.convert("RGB"), (0, 0))
    _draw_strip(picture, mosaic, [(color, text) for _, color, _, text in layers], height)
    return picture


def _draw_polygons(overlay: Any, mosaic: Mosaic, geometries: Any, color: tuple[int, int, int], opacity: int) -> None:
    import shapely
    from PIL import Image, ImageDraw

    west, south, east, north = mosaic.bounds
    scale = np.array([overlay.width / (east - west), -overlay.height / (north - south)])
    shown = shapely.transform(geometries, lambda points: project(points, LONLAT, MERCATOR))
    shown = shown[shapely.intersects(shown, shapely.box(west, south, east, north))]
    stencil = Image.new("L", overlay.size, 0)
    fill, lines = ImageDraw.Draw(stencil), ImageDraw.Draw(overlay)
    rings = []
    for polygon in shapely.get_parts(shown):
        if polygon.geom_type != "Polygon":
            continue
        for number, ring in enumerate((polygon.exterior, *polygon.interiors)):
            pixels = (np.asarray(ring.coords)[:, :2] - (west, north)) * scale
            corners = [(float(x), float(y)) for x, y in pixels]
            fill.polygon(corners, fill=0 if number else opacity)
            rings.append(corners)
    overlay.alpha_composite(Image.merge("RGBA", (*_plain(color, overlay.size), stencil)))
    for corners in rings:
        lines.line(corners, fill=(*color, 255), width=2 * _SUPERSAMPLING, joint="curve")


def _plain(color: tuple[int, int, int], size: tuple[int, int]) -> tuple[Any, ...]:
    from PIL import Image

    return tuple(Image.new("L", size, value) for value in color)


def _draw_strip(picture: Any, mosaic: Mosaic, entries: list[tuple[tuple[int, int, int], str]], top: int) -> None:
    """Legend on the left, scale bar on the right."""
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=13)
    x, middle = 10.0, top + _STRIP / 2
    for color, text in entries:
        draw.rectangle((x, middle - 5, x + 14, middle + 5), outline=color, width=2)
        draw.text((x + 21, middle), text, fill=(230, 233, 236), font=font, anchor="lm")
        x += 21 + draw.textlength(text, font=font) + 22
    metres_per_pixel = mosaic.ground_width_m / picture.width
    length = next((m for m in (100, 50, 20, 10, 5, 2) if m / metres_per_pixel <= picture.width / 4), 1)
    right = picture.width - 12
    left = right - length / metres_per_pixel
    draw.line((left, middle + 4, right, middle + 4), fill=(230, 233, 236), width=2)
    draw.text((left - 8, middle), f"{length} m", fill=(230, 233, 236), font=font, anchor="rm")


def _png(picture: Any, max_bytes: int) -> bytes:
    """A PNG of at most ``max_bytes``: few colours first, then smaller."""
    from PIL import Image

    while True:
        buffer = io.BytesIO()
        # Without dithering: its noise looks fine but does not compress.
        reduced = picture.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        reduced.save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= max_bytes or picture.width < 200:
            return buffer.getvalue()
        factor = max(0.6, min(0.92, (max_bytes / buffer.tell()) ** 0.5))
        size = (round(picture.width * factor), round(picture.height * factor))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
