"""What the classifier sees of a pixel: its colour, and mean and deviation of the colour around it.

The arithmetic in numpy, for training. ``onnx_graph`` says the same as an ONNX graph; change both or neither.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

WINDOWS = (3, 9, 21, 45, 91)
"""Side of each square window in pixels, odd. At zoom 19 with 256 px chips the largest spans 27 m."""

CHANNELS = 3
COUNT = CHANNELS * (1 + 2 * len(WINDOWS))
"""Number of features: RGB, then for each window three means and three deviations."""

VARIANCE_FLOOR = 1e-3
"""Added to variances (of colours in 0..1) before the root: keeps flat areas apart from float32 rounding."""

WHITE = 255
_MIDDLE = 0.5


def features_at(pixels: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """Features float32 [N, COUNT] of N pixels of an image uint8 [3, H, W], red first.

    Colours are scaled to -0.5..0.5. A window that reaches over the edge counts only the pixels inside.
    """
    # Sums over any window come from one table of running sums; in integers they are exact.
    whole = pixels.astype(np.int64)
    table = _running_sums(np.concatenate((whole, whole * whole)))
    layers = [whole[:, rows, columns] / WHITE - _MIDDLE]
    for sums, count in _window_sums(table, rows, columns):
        total, total_of_squares = np.split(sums, 2)
        variance = (count * total_of_squares - total * total) / (count * WHITE) ** 2
        layers += [total / (count * WHITE) - _MIDDLE, np.sqrt(variance + VARIANCE_FLOOR)]
    return np.concatenate(layers).T.astype(np.float32)


def feature_stack(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features float32 [COUNT, H, W] of every pixel of an image uint8 [3, H, W]."""
    _, height, width = pixels.shape
    rows, columns = (index.ravel() for index in np.indices((height, width)))
    return features_at(pixels, rows, columns).T.reshape(COUNT, height, width)


def _running_sums(channels: NDArray[np.int64]) -> NDArray[np.int64]:
    """[C, H + 1, W + 1]: the sum of all that lies above and left of each pixel corner."""
    table = np.zeros((channels.shape[0], channels.shape[1] + 1, channels.shape[2] + 1), dtype=np.int64)
    np.cumsum(channels, axis=1, out=table[:, 1:, 1:])
    np.cumsum(table[:, 1:, 1:], axis=2, out=table[:, 1:, 1:])
    return table


def _window_sums(
    table: NDArray[np.int64], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each window the sums [C, N] around the pixels, and how many pixels [N] lie inside the image."""
    height, width = table.shape[1] - 1, table.shape[2] - 1
    for window in WINDOWS:
        reach = window // 2
        top, bottom = np.maximum(rows - reach, 0), np.minimum(rows + reach + 1, height)
        left, right = np.maximum(columns - reach, 0), np.minimum(columns + reach + 1, width)
        sums = table[:, bottom, right] - table[:, top, right] - table[:, bottom, left] + table[:, top, left]
        yield sums, (bottom - top) * (right - left)
