"""What the classifier sees of a pixel: its colour, and mean and deviation of the colour around it.

The arithmetic in numpy, for training. ``onnx_graph`` says the same as an ONNX graph; change both or neither.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOWS = (3, 9, 21, 45, 91)
"""Side of each square window in pixels, odd. At zoom 19 with 256 px chips the largest spans 27 m."""

CHANNELS = 3
COUNT = CHANNELS * (1 + 2 * len(WINDOWS))
"""Number of features: RGB, then for each window three means and three deviations."""

VARIANCE_FLOOR = 4e-4
"""Added to variances (of colours in 0..1) before the root: keeps flat areas apart from float32 rounding."""


def feature_stack(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Features float32 [COUNT, H, W] of an image [3, H, W] with values 0 to 255, red first.

    A window that reaches over the edge of the image counts only the pixels inside.
    """
    colour = pixels.astype(np.float32) / 255 - np.float32(0.5)
    both = np.concatenate((colour, colour * colour))
    layers = [colour]
    for window in WINDOWS:
        mean, mean_of_squares = np.split(_box_mean(both, window), 2)
        layers += [mean, np.sqrt(np.maximum(mean_of_squares - mean * mean, 0) + np.float32(VARIANCE_FLOOR))]
    return np.concatenate(layers)


def _box_mean(channels: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    from scipy.ndimage import uniform_filter

    size = (0, window, window)
    inside = uniform_filter(np.ones((1, *channels.shape[1:])), size, mode="constant")
    means = uniform_filter(channels.astype(np.float64), size, mode="constant") / inside
    return means.astype(np.float32)
