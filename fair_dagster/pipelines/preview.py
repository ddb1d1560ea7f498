"""A picture of what a fresh model draws on held-out chips, made in the process that trained it.

Elsewhere it would cost another start. A training whose picture cannot be made is still a good training.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from fair_dagster.domain.versions import ONNX_ARTIFACT
from fair_dagster.imagery.chips import find_chips
from fair_dagster.imagery.labels import read_labels
from fair_dagster.imagery.pictures import prediction_picture
from fair_dagster.net.files import write_bytes
from fair_dagster.pipelines.entrypoints import load_entrypoint
from fair_dagster.pipelines.filenames import PREVIEW_FILE
from fair_dagster.pipelines.prediction import read_mapping
from fair_dagster.pipelines.sessions import open_session
from fair_dagster.settings import Settings

_CHIPS = 6


def draw_preview(settings: Settings, entrypoint: str, config: Path, result: Mapping[str, Any]) -> None:
    """Write ``preview.png`` beside ``config``; says on stderr why when it cannot."""
    try:
        write_bytes(config.with_name(PREVIEW_FILE), _picture(settings, entrypoint, config, result))
    except Exception as error:  # the picture is an extra: whatever the model's code raises must not undo its training
        print(f"no picture of a prediction: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


def _picture(settings: Settings, entrypoint: str, config: Path, result: Mapping[str, Any]) -> bytes:
    parameters = read_mapping(config)["parameters"]
    predict = load_entrypoint(f"{entrypoint.partition(':')[0]}:predict", settings.entrypoint_roots)
    session = open_session(_path(result["artifacts"][ONNX_ARTIFACT]))
    chips = _held_out(_path(parameters["dataset_chips"]), result.get("split") or {})
    with TemporaryDirectory() as folder:
        # One folder of neighbours, so that polygons across their borders come out whole.
        for chip in chips:
            for file in chip.parent.glob(f"{chip.name}*"):
                (Path(folder) / file.name).symlink_to(file.resolve())
        features = predict(session, folder, {})
    return prediction_picture(chips, features, labels=read_labels(_path(parameters["dataset_labels"])))


def _held_out(folder: Path, split: Mapping[str, Any]) -> list[Path]:
    """A few neighbouring chips, of the validation part where the split names it."""
    chips = find_chips(folder)
    names = frozenset(split.get("val_chip_names") or ())
    return ([chip for chip in chips if chip.name in names] or chips)[:_CHIPS]


def _path(uri: str) -> Path:
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(uri)
