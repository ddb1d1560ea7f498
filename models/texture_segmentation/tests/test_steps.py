"""The steps of the contract, called as plain functions on a small synthetic town."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import chip_grid_position, find_chips, read_chip, read_frame
from fair_dagster.imagery.synthesize import SyntheticDataset
from models.texture_segmentation import classifier, dataset
from models.texture_segmentation.tests.conftest import HYPERPARAMETERS, Trained


def _session(graph: bytes) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def _columns(town: SyntheticDataset, names: list[str]) -> set[int]:
    return {chip_grid_position(read_frame(town.train_chips / name))[0] for name in names}


def test_split_dataset(pipeline: Any, town: SyntheticDataset) -> None:
    split = pipeline.split_dataset.entrypoint(str(town.train_chips), str(town.labels), {"val_ratio": 0.3})

    train, validation = split["train_chip_names"], split["val_chip_names"]
    assert sorted(train + validation) == [path.name for path in find_chips(town.train_chips)]
    assert split["strategy"] == "spatial_block"
    assert (split["train_count"], split["val_count"]) == (len(train), len(validation))
    assert max(_columns(town, train)) < min(_columns(town, validation)) == split["threshold"]


@pytest.mark.parametrize(("ratio", "expected"), [(0.05, 2), (0.3, 2), (0.5, 4), (0.9, 6)])
def test_the_validation_block_is_whole_columns_nearest_to_the_ratio(
    tmp_path: Path, ratio: float, expected: int
) -> None:
    from PIL import Image

    for column in range(4):
        for row in range(2):
            Image.new("RGB", (8, 8)).save(tmp_path / f"OAM-{10 + column}-{20 + row}-10.png")

    assert dataset.spatial_split(str(tmp_path), ratio)["val_count"] == expected


def test_a_single_column_is_split_by_rows_and_a_single_chip_not_at_all(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "OAM-10-20-10.png")
    with pytest.raises(RefusedError, match="two columns or rows"):
        dataset.spatial_split(str(tmp_path), 0.2)

    Image.new("RGB", (8, 8)).save(tmp_path / "OAM-10-21-10.png")
    split = dataset.spatial_split(str(tmp_path), 0.2)
    assert (split["axis"], split["val_chip_names"]) == ("row", ["OAM-10-21-10.png"])


def test_chips_that_cannot_be_placed_are_all_named(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("one.png", "two.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)

    with pytest.raises(RefusedError) as refusal:
        dataset.spatial_split(str(tmp_path), 0.2)

    assert len([problem for problem in refusal.value.problems if "nothing says where" in problem]) == 2


def test_train_model(trained: Trained) -> None:
    model = classifier.load(trained.checkpoint)

    assert model.texture[-1].coef_.shape == (1, 33)
    assert model.colour[-1].coef_.shape == (1, 3)


def test_training_twice_gives_the_same_weights(pipeline: Any, trained: Trained) -> None:
    data = (str(trained.town.train_chips), str(trained.town.labels))
    again = classifier.load(pipeline.train_model.entrypoint(*data, "", HYPERPARAMETERS, trained.split))

    first = classifier.load(trained.checkpoint)
    assert (again.texture[-1].coef_ == first.texture[-1].coef_).all()
    assert (again.texture[-1].intercept_ == first.texture[-1].intercept_).all()


def test_training_starts_from_the_weights_it_is_given(pipeline: Any, trained: Trained, tmp_path: Path) -> None:
    weights = tmp_path / "checkpoint.bin"
    weights.write_bytes(trained.checkpoint)
    data = (str(trained.town.train_chips), str(trained.town.labels))
    still = HYPERPARAMETERS | {"epochs": 1, "learning_rate": 1e-9, "l2": 1e-9}

    started = classifier.load(pipeline.train_model.entrypoint(*data, str(weights), still, trained.split))

    first = classifier.load(trained.checkpoint)
    assert started.texture[-1].coef_ == pytest.approx(first.texture[-1].coef_, abs=1e-3)


def test_losses_are_reported_and_fall(pipeline: Any, trained: Trained) -> None:
    paths = dataset.chip_paths(str(trained.town.train_chips))
    labels = dataset.label_index(str(trained.town.labels), list(paths.values()))
    train, validation = (
        dataset.sample_pixels([paths[name] for name in trained.split[key]], labels, 500, 1)
        for key in ("train_chip_names", "val_chip_names")
    )
    seen: list[tuple[int, int, Mapping[str, float]]] = []
    settings = pipeline.TRAINING_DEFAULTS | HYPERPARAMETERS

    _, history = classifier.fit(train, validation, settings, on_epoch=lambda *told: seen.append(told))

    assert len(history.train) == len(history.validation) == 4
    assert history.train[-1] < history.train[0]
    losses = zip(history.train, history.validation, strict=True)
    assert seen == [
        (epoch, 4, {"train_loss": train, "val_loss": val}) for epoch, (train, val) in enumerate(losses, start=1)
    ]


def test_weights_that_are_not_there_are_refused(pipeline: Any, trained: Trained) -> None:
    data = (str(trained.town.train_chips), str(trained.town.labels))

    with pytest.raises(RefusedError, match="no such file"):
        pipeline.train_model.entrypoint(*data, "absent.skops", HYPERPARAMETERS, trained.split)


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    import pickle

    with pytest.raises(RefusedError, match="no checkpoint of this model"):
        classifier.load(pickle.dumps({"texture": None}))


def test_another_number_of_classes_is_refused(pipeline: Any, trained: Trained) -> None:
    data = (str(trained.town.train_chips), str(trained.town.labels))

    with pytest.raises(RefusedError, match="2 classes, not 3"):
        pipeline.train_model.entrypoint(*data, "", HYPERPARAMETERS, trained.split, num_classes=3)


def test_evaluate_model(pipeline: Any, trained: Trained) -> None:
    data = (str(trained.town.train_chips), str(trained.town.labels))
    metrics = pipeline.evaluate_model.entrypoint(
        trained.checkpoint, *data, HYPERPARAMETERS, trained.split, class_names=["background", "building"]
    )

    assert metrics == pipeline.evaluate_model.entrypoint(trained.checkpoint, *data, HYPERPARAMETERS, trained.split)
    assert all(0 <= value <= 1 for value in metrics.values())
    assert metrics["building_iou"] > 0.4
    assert metrics["building_f1"] == pytest.approx(
        2 * metrics["building_iou"] / (1 + metrics["building_iou"]), abs=1e-5
    )


def test_export_onnx(trained: Trained) -> None:
    session = _session(trained.graph)

    assert session.get_inputs()[0].shape[1] == 3
    assert session.get_outputs()[0].shape[1] == 2
    assert session.get_modelmeta().custom_metadata_map["classes"] == "background,building"


def test_preprocess_gives_what_the_graph_takes(pipeline: Any, trained: Trained) -> None:
    [output] = _session(trained.graph).run(
        None, {"image": pipeline.preprocess(find_chips(trained.town.train_chips)[0])}
    )

    assert output.shape == (1, 2, 128, 128)
    assert output.sum(axis=1) == pytest.approx(np.ones((1, 128, 128)), abs=1e-6)


def test_predict_draws_the_roofs_of_chips_that_were_not_trained_on(pipeline: Any, trained: Trained) -> None:
    found = pipeline.predict(_session(trained.graph), str(trained.town.predict_chips), {"min_area_m2": 5})

    assert found["type"] == "FeatureCollection"
    assert len(found["features"]) >= 3
    assert {feature["properties"]["label"] for feature in found["features"]} == {"building"}


def test_a_higher_threshold_finds_less(pipeline: Any, trained: Trained) -> None:
    def area(threshold: float) -> float:
        images = str(trained.town.predict_chips)
        found = pipeline.predict(_session(trained.graph), images, {"confidence_threshold": threshold})
        return float(sum(feature["properties"]["area_m2"] for feature in found["features"]))

    assert area(0.9) < area(0.5) < area(0.1)
    assert area(1.0) == 0


def test_chips_in_all_forms_give_the_same_polygons(pipeline: Any, trained: Trained, tmp_path: Path) -> None:
    """The same pixels as named PNG, as GeoTIFF, and with a sidecar: the same buildings in the same places."""
    import rasterio
    from PIL import Image
    from shapely.geometry import shape

    source = find_chips(trained.town.predict_chips)[0]
    chip = read_chip(source)
    geotiff = tmp_path / "inside.tif"
    options = {"width": 128, "height": 128, "count": 3, "dtype": "uint8", "crs": chip.crs, "transform": chip.transform}
    with rasterio.open(geotiff, "w", driver="GTiff", **options) as target:
        target.write(chip.pixels)
    sidecar = tmp_path / "beside.png"
    Image.fromarray(chip.pixels.transpose(1, 2, 0)).save(sidecar)
    numbers = ", ".join(repr(value) for value in chip.transform.to_gdal())
    sidecar.with_name("beside.png.aux.xml").write_text(
        f"<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>{numbers}</GeoTransform></PAMDataset>"
    )

    session = _session(trained.graph)
    named, inside, beside = (pipeline.predict(session, str(path), {}) for path in (source, geotiff, sidecar))

    assert len(named["features"]) == len(inside["features"]) == len(beside["features"]) > 0
    for one, *others in zip(named["features"], inside["features"], beside["features"], strict=True):
        for other in others:
            assert shape(one["geometry"]).symmetric_difference(shape(other["geometry"])).area < 1e-12


def test_every_image_that_cannot_be_read_is_named(pipeline: Any, trained: Trained, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "OAM-10-20-10.png")
    for name in ("a.png", "b.tif"):
        (tmp_path / name).write_text("no image")

    with pytest.raises(RefusedError) as refusal:
        pipeline.predict(_session(trained.graph), str(tmp_path), {})

    assert [problem.partition(":")[0] for problem in refusal.value.problems] == ["a.png", "b.tif"]


def test_inference_step_reads_the_graph_from_its_file(pipeline: Any, trained: Trained, tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(trained.graph)

    found = pipeline.run_inference.entrypoint(graph.as_uri(), str(trained.town.predict_chips), {})

    assert found == pipeline.predict(_session(trained.graph), str(trained.town.predict_chips), {})
    with pytest.raises(RefusedError, match="no such file"):
        pipeline.run_inference.entrypoint(str(tmp_path / "absent.onnx"), str(trained.town.predict_chips), {})
