"""Reading lineage: by every name that people use, from the catalog, ZenML and the files of predictions."""

from pathlib import Path

import pytest

from assets.staleness import stale as stale_check
from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, NotFoundError, ServiceError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.flows import lineage, predictions
from fair_dagster.net.files import write_json
from fair_dagster.orchestration.metadata import item_metadata
from fair_dagster.orchestration.resources import FairResource
from tests.installations import DATASET, MODEL, NAME, Installation

BASE = f"base-models/{MODEL}"


def change_base_model(installation: Installation) -> None:
    """Register a second version."""
    readme = installation.folder / "README.md"
    readme.write_text(f"{readme.read_text()}\nChanged.\n")
    installation.register_base_model()


def predict(installation: Installation, model: str) -> Path:
    """What a prediction that has ended well leaves."""
    prepared = predictions.prepare(installation.services, model, installation.town.predict_chips, {}, None)
    write_json(prepared.output, {"type": "FeatureCollection", "features": []})
    write_json(prepared.result_path, {"status": "completed"})
    return prepared.output


def ids(found: lineage.FoundLineage) -> set[str]:
    return {node.id for node in found.graph.nodes.values()}


def test_a_base_model_leads_to_published_and_unpublished_finetunes(installation: Installation) -> None:
    installation.promote(installation.trained())
    installation.trained(epochs=3)
    found = lineage.lineage(installation.services, MODEL)
    assert ids(found) == {MODEL, DATASET, f"{NAME}-v1", f"{NAME}-v2"}
    states = {node.id: node.state for node in found.graph.children(BASE)}
    assert states == {f"{NAME}-v1": "active", f"{NAME}-v2": "unpublished"}
    assert f"{NAME}-v2" in ids(lineage.lineage(installation.services, DATASET))
    assert f"{NAME}-v2" not in ids(lineage.lineage(installation.services, MODEL, published_only=True))


def test_a_prediction_names_the_exact_version_after_its_id_has_moved(installation: Installation) -> None:
    output = predict(installation, MODEL)
    change_base_model(installation)
    later = predict(installation, MODEL)
    found = lineage.lineage(installation.services, str(output))
    assert [node.id for node in found.graph.parents(found.roots[0])] == [f"{MODEL}-v1"]
    assert [node.id for node in lineage.lineage(installation.services, MODEL).graph.children(BASE)] == [str(later)]
    (other,) = lineage.lineage(installation.services, MODEL).others
    assert other == f"base-models/{MODEL}-v1 (version 1, deprecated, used by 1)"


def test_a_finetuned_model_is_found_by_name_by_version_and_by_its_predictions(installation: Installation) -> None:
    installation.promote(installation.trained())
    installation.trained(epochs=3)
    output = predict(installation, NAME)
    name = lineage.lineage(installation.services, NAME)
    assert name.roots == (f"local-models/{NAME}-v1", f"local-models/{NAME}-v2")
    unpublished = lineage.lineage(installation.services, f"{NAME}-v2")
    assert ids(unpublished) == {f"{NAME}-v2", MODEL, DATASET}
    published = lineage.lineage(installation.services, f"{NAME}-v1")
    assert ids(published) == {f"{NAME}-v1", MODEL, DATASET, str(output)}
    config = next(installation.services.settings.runs_path.glob("predict-*/prediction.yaml"))
    assert lineage.lineage(installation.services, str(config)).roots == (f"predictions/{output}",)


def test_the_version_id_of_the_active_base_model_finds_it(installation: Installation) -> None:
    assert lineage.lineage(installation.services, f"{MODEL}-v1").roots == (BASE,)


@pytest.mark.parametrize("name", ["no-such-thing", "no-such-thing-v3", "/tmp/nowhere.geojson", f"{NAME}-v9"])
def test_what_is_not_there_is_not_found(installation: Installation, name: str) -> None:
    installation.trained()
    with pytest.raises(NotFoundError):
        lineage.lineage(installation.services, name)


def test_a_zenml_that_is_down_is_not_a_model_without_finetunes(installation: Installation) -> None:
    installation.versions.broken["requested_with"] = ServiceError("ZenML's server did not answer")
    with pytest.raises(ServiceError):
        lineage.lineage(installation.services, MODEL)
    assert ids(lineage.lineage(installation.services, MODEL, published_only=True)) == {MODEL}


def test_a_prediction_says_how_it_ended_and_a_damaged_one_is_named(installation: Installation) -> None:
    output = predict(installation, MODEL)
    output.unlink()
    (prediction,), _ = lineage.read_predictions(installation.services.settings)
    assert prediction.state == "gone"
    path = next(installation.services.settings.runs_path.glob("predict-*/prediction.yaml"))
    path.write_text("model: [")
    assert lineage.lineage(installation.services, MODEL).unread == (str(path),)


def test_a_materialization_tells_parents_and_children(installation: Installation) -> None:
    installation.promote(installation.trained())
    text = item_metadata(installation.services.catalog, installation.active(items.BASE_MODELS, MODEL))["lineage"].value
    assert f"used by 1 finetune: {NAME}-v1" in text
    text = item_metadata(installation.services.catalog, installation.active(items.LOCAL_MODELS, NAME))["lineage"].value
    assert f"`datasets` **{DATASET}** (version 1, active)" in text


def test_an_item_that_cannot_be_read_does_not_fail_what_was_published(installation: Installation) -> None:
    installation.promote(installation.trained())
    base, model = installation.active(items.BASE_MODELS, MODEL), installation.active(items.LOCAL_MODELS, NAME)
    for key in (model, base):
        path = installation.services.settings.catalog_path / key["collection"] / key["id"] / f"{key['id']}.json"
        path.write_text('{"type": "Fea')
    assert (
        "used by"
        not in item_metadata(installation.services.catalog, installation.active(items.DATASETS, DATASET))[
            "lineage"
        ].value
    )
    assert "relatives are not told" in item_metadata(installation.services.catalog, model)["lineage"].value


def test_a_newer_base_model_makes_the_check_warn_until_a_version_made_from_it_is_promoted(
    installation: Installation,
) -> None:
    fair = FairResource(values=installation.services.settings.plain())
    installation.promote(installation.trained())
    assert stale_check(fair).passed
    change_base_model(installation)
    result = stale_check(fair)
    assert not result.passed
    assert result.severity.value == "WARN"
    (row,) = result.metadata["stale"].records
    assert (row.data["model"], row.data["made from"], row.data["newest"]) == (
        f"{NAME}-v1",
        f"{MODEL} v1",
        f"{MODEL} v2",
    )
    installation.promote(installation.trained())
    assert stale_check(fair).passed


def test_a_damaged_item_is_left_out_and_told(installation: Installation) -> None:
    for version in (installation.trained(), installation.trained()):
        installation.promote(version)
    href = installation.services.catalog.href(ItemKey(items.LOCAL_MODELS, f"{NAME}-v1"))
    Path(href).write_text("{")
    found = lineage.lineage(installation.services, f"{NAME}-v2")
    assert found.damaged == (f"local-models/{NAME}-v1",)
    assert BASE in found.graph.nodes
    with pytest.raises(CatalogError, match="fair-dagster catalog reconcile --repair"):
        lineage.lineage(installation.services, f"{NAME}-v1")
