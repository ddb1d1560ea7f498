import pytest

from fair_dagster.catalog.validation.schemas import vocabulary
from fair_dagster.domain.compatibility import mismatches
from tests.factories import base_model, dataset

WORDS = vocabulary()


def test_a_base_model_fits_a_dataset_of_its_feature_task_and_geometry() -> None:
    assert mismatches(base_model(), dataset(), WORDS) == []


def test_label_tasks_stand_in_for_missing_task_keywords() -> None:
    plain = dataset(keywords=["building"], **{"label:tasks": ["segmentation"]})
    detection = dataset(keywords=["building"], **{"label:tasks": ["detection"]})

    assert mismatches(base_model(), plain, WORDS) == []
    assert mismatches(base_model(), detection, WORDS) == [
        "task differs: base model 'ramp' has semantic-segmentation, dataset 'banepa' has object-detection"
    ]


def test_every_difference_is_named_at_once() -> None:
    roads = dataset("roads", keywords=["road", "object-detection", "line"], deprecated=True)
    old = base_model(deprecated=True)

    assert mismatches(old, roads, WORDS) == [
        "base model 'ramp' is deprecated; use its active version",
        "dataset 'roads' is deprecated; use its active version",
        "feature differs: base model 'ramp' has building, dataset 'roads' has road",
        "task differs: base model 'ramp' has semantic-segmentation, dataset 'roads' has object-detection",
        "geometry type differs: base model 'ramp' has polygon, dataset 'roads' has line",
    ]


@pytest.mark.parametrize("geometry", ["line", "point"])
def test_another_geometry_type_alone_is_refused(geometry: str) -> None:
    other = dataset(keywords=["building", "semantic-segmentation", geometry])

    assert len(mismatches(base_model(), other, WORDS)) == 1


def test_a_word_that_is_no_feature_does_not_make_a_road_a_building() -> None:
    roads = dataset("roads", keywords=["road", "open-data", "semantic-segmentation", "polygon"])
    buildings = base_model(keywords=["building", "open-data", "semantic-segmentation", "polygon"])

    assert mismatches(buildings, roads, WORDS) == [
        "feature differs: base model 'ramp' has building, dataset 'roads' has road"
    ]


def test_features_outside_the_vocabulary_meet_by_their_word() -> None:
    pools = ["swimming-pool", "semantic-segmentation", "polygon"]

    assert mismatches(base_model(keywords=pools), dataset(keywords=pools), WORDS) == []
