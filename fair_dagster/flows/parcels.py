"""The files of a prediction on their way to a worker and back, by the artifact store.

Only where runs are executed on other machines; on one machine everybody reads the same folder.
"""

import contextlib
import shutil
import uuid
from pathlib import Path

import yaml

from fair_dagster.domain.errors import StorageError
from fair_dagster.flows.predictions import CONFIG_FILE as PREDICTION_FILE
from fair_dagster.flows.predictions import RESULT_FILE as PREDICTED_FILE
from fair_dagster.flows.predictions import Prediction
from fair_dagster.net.files import write_bytes
from fair_dagster.settings import Settings
from fair_dagster.storage.store import ArtifactStore

PREDICTIONS = "predictions"
"""Where in the artifact store parcels of predictions lie."""
_OUTPUT = "output.geojson"


def pack(artifacts: ArtifactStore, prediction: Prediction) -> str:
    """Lay a prediction's configuration and images where a worker finds them; returns the name of the parcel.

    Raises:
        StorageError: the artifact store cannot be written; nothing is left there, as after a signal.
    """
    parcel = uuid.uuid4().hex
    content = prediction.config_path.read_bytes()
    try:
        artifacts.publish(Path(str(yaml.safe_load(content)["input_images"])), f"{_at(parcel)}/images")
        artifacts.write(content, f"{_at(parcel)}/{PREDICTION_FILE}")
    except BaseException:
        discard(artifacts, parcel)
        raise
    return parcel


def unpack(artifacts: ArtifactStore, settings: Settings, parcel: str, model: str) -> Prediction:
    """The prediction of a parcel on this machine, with files of its own. A second time begins anew.

    Raises:
        StorageError: the parcel is gone, or cannot be read.
    """
    content = artifacts.read(f"{_at(parcel)}/{PREDICTION_FILE}")
    if content is None:
        raise StorageError(f"the files of a prediction ({_at(parcel)}) are gone: start it again")
    folder = settings.runs_path / f"predict-{parcel}"
    shutil.rmtree(folder, ignore_errors=True)
    config = yaml.safe_load(content)
    # Chips may say by their name where they are: a single file keeps its own.
    images = folder / "images" / Path(str(config["input_images"])).name
    images.parent.mkdir(parents=True)
    artifacts.fetch(f"{_at(parcel)}/images", images)
    output = folder / _OUTPUT
    own = {**config, "input_images": str(images), "output": str(output)}
    write_bytes(folder / PREDICTION_FILE, yaml.safe_dump(own, sort_keys=False).encode())
    return Prediction(model, folder / PREDICTION_FILE, output, folder / PREDICTED_FILE)


def send_back(artifacts: ArtifactStore, settings: Settings, parcel: str, prediction: Prediction) -> None:
    """Lay what was predicted beside what it was predicted from, and forget it here."""
    artifacts.restore(prediction.output, f"{_at(parcel)}/{_OUTPUT}")
    shutil.rmtree(settings.runs_path / f"predict-{parcel}", ignore_errors=True)


def collect(artifacts: ArtifactStore, parcel: str, output: Path) -> None:
    """Copy what was predicted to ``output``, in one step.

    Raises:
        StorageError: it cannot be had, or not be written.
    """
    part = output.with_name(f".{output.name}.{parcel}")
    try:
        artifacts.fetch(f"{_at(parcel)}/{_OUTPUT}", part)
        part.replace(output)
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def discard(artifacts: ArtifactStore, parcel: str) -> None:
    """Remove a parcel; what cannot be removed is left, and harms nobody."""
    with contextlib.suppress(StorageError):
        artifacts.remove(_at(parcel))


def _at(parcel: str) -> str:
    return f"{PREDICTIONS}/{parcel}"
