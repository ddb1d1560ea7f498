"""The rules of publication by example; ``test_publication_properties`` searches for counterexamples."""

from fair_dagster.domain.items.links import LATEST, PREDECESSOR, SUCCESSOR, targets
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import desired_items, local_family, release_family
from fair_dagster.domain.publication.drift import diff
from fair_dagster.domain.publication.promoted_items import local_item
from fair_dagster.domain.requests import PROMOTION_KEY, FinetuneRequest
from fair_dagster.domain.training_config import rerun_config, training_config
from fair_dagster.domain.versions import VersionRecord
from tests.factories import KNOWLEDGE, base_model, dataset, finetune_request, version


def content(record: VersionRecord) -> Item:
    request = FinetuneRequest.of(record)
    assert request is not None
    return local_item(record, request, base_model(), dataset(), {}, knowledge=KNOWLEDGE)


def published(*versions: VersionRecord, before: list[Item] | None = None) -> dict[str, Item]:
    items = desired_items(local_family("ramp-nepal", versions, before or [], content))
    return {item["id"]: item for item in items}


def test_only_promoted_versions_are_published() -> None:
    items = published(version(1), version(2, "production"), version(3, "staging"), version(4, "archived"))

    assert list(items) == ["ramp-nepal-v2"]


def test_a_promotion_deprecates_the_former_production_version_and_links_both() -> None:
    before = published(version(1, "production"))
    items = published(version(1, "archived"), version(2, "production"), before=list(before.values()))

    old, new = items["ramp-nepal-v1"], items["ramp-nepal-v2"]
    assert (old["properties"]["deprecated"], new["properties"]["deprecated"]) == (True, False)
    assert [key.id for key in targets(old["links"], SUCCESSOR)] == ["ramp-nepal-v2"]
    assert [key.id for key in targets(old["links"], LATEST)] == ["ramp-nepal-v2"]
    assert [key.id for key in targets(new["links"], PREDECESSOR)] == ["ramp-nepal-v1"]


def test_a_rollback_makes_the_older_version_the_latest() -> None:
    first = published(version(1, "production"))
    second = published(version(1, "archived"), version(2, "production"), before=list(first.values()))
    rolled_back = published(version(1, "production"), version(2, "archived"), before=list(second.values()))

    assert [key.id for key in targets(rolled_back["ramp-nepal-v2"]["links"], LATEST)] == ["ramp-nepal-v1"]
    assert rolled_back["ramp-nepal-v2"]["properties"]["deprecated"] is True


def test_a_lost_catalog_is_rebuilt_from_the_marks_in_zenml() -> None:
    marked = version(1, "archived", **{PROMOTION_KEY: 2})
    items = published(marked, version(2, "archived"), version(3, "production", **{PROMOTION_KEY: 3}))

    assert list(items) == ["ramp-nepal-v1", "ramp-nepal-v3"]


def test_items_of_deleted_versions_are_deleted_with_a_reason() -> None:
    before = published(version(1, "production"))

    changes = diff(list(before.values()), list(published(before=list(before.values())).values()))

    assert [(change.action, change.key.id) for change in changes.changes] == [("delete", "ramp-nepal-v1")]
    assert changes.changes[0].reason


def test_a_new_base_model_version_keeps_the_old_one_under_its_number() -> None:
    first = desired_items(release_family("base-models", "ramp", [], base_model(), "one"))
    second = desired_items(release_family("base-models", "ramp", first, base_model(), "two"))

    assert [(item["id"], item["properties"]["version"]) for item in second] == [("ramp-v1", "1"), ("ramp", "2")]
    assert [item["properties"]["deprecated"] for item in second] == [True, False]


def test_a_number_that_a_contributor_declares_counts_when_it_is_higher() -> None:
    first = desired_items(release_family("base-models", "ramp", [], base_model(number=3), "one"))
    second = desired_items(release_family("base-models", "ramp", first, base_model(number=7), "two"))
    third = desired_items(release_family("base-models", "ramp", second, base_model(number=7), "three"))

    assert [item["properties"]["version"] for item in third] == ["3", "7", "8"]


def test_the_local_item_carries_what_prediction_and_retraining_need() -> None:
    item = content(version(3, "production"))

    assert item["properties"]["mlm:name"] == "ramp-nepal"
    assert item["properties"]["fair:metrics"] == {"building_iou": 0.5}
    assert item["assets"]["source-code"]["mlm:entrypoint"] == "models.ramp.pipeline:predict"
    assert {key.id for key in targets(item["links"], "derived_from")} == {"ramp", "banepa"}


def test_a_training_config_is_a_zenml_run_configuration() -> None:
    request = finetune_request(overrides={"epochs": 2})
    data = dataset()
    told = {"file:size": 7, "file:checksum": "1220ab"}
    data["assets"]["labels"] |= told
    config = training_config(request, 3, base_model(), data)

    assert config["model"] == {"name": "ramp-nepal", "version": 3}
    assert config["parameters"]["hyperparameters"]["epochs"] == 2
    assert config["parameters"]["num_classes"] == 2
    assert config["extra"]["fair"]["entrypoint"] == "models.ramp.pipeline:training_pipeline"
    assert config["extra"]["fair"]["inputs"] == {config["parameters"]["dataset_labels"]: told}
    assert "settings" not in config
    assert config["steps"]["evaluate_model"]["parameters"] == {"class_names": ["background", "building"]}


def test_a_step_gets_only_the_parameters_that_it_takes() -> None:
    taken = {"train_model": ("model_name",), "evaluate_model": ()}
    config = training_config(finetune_request(), 1, base_model(), dataset(), step_parameters=taken)

    assert config["steps"]["train_model"]["parameters"] == {"model_name": "ramp-nepal"}
    assert config["steps"]["evaluate_model"]["parameters"] == {}


def test_a_runtime_image_becomes_docker_settings() -> None:
    model = base_model()
    model["assets"]["mlm:training"]["href"] = "ghcr.io/hotosm/ramp:v1"

    config = training_config(finetune_request(), 1, model, dataset())

    assert config["settings"]["docker"] == {"parent_image": "ghcr.io/hotosm/ramp:v1", "skip_build": True}


def test_a_rerun_differs_in_nothing_but_its_version() -> None:
    config = training_config(finetune_request(), 1, base_model(), dataset())
    again = rerun_config(config, 2)

    assert again["model"]["version"] == 2
    assert {key: value for key, value in again.items() if key not in {"model", "run_name"}} == {
        key: value for key, value in config.items() if key not in {"model", "run_name"}
    }


def test_the_order_of_promotion_outlives_a_rollback_and_an_archive() -> None:
    first = published(version(1, "production"))
    second = published(version(1, "archived"), version(2, "production"), before=list(first.values()))
    third = published(version(1, "production"), version(2, "archived"), before=list(second.values()))

    archived = published(version(1, "archived"), version(2, "archived"), before=list(third.values()))

    assert [key.id for key in targets(archived["ramp-nepal-v2"]["links"], SUCCESSOR)] == ["ramp-nepal-v1"]
