"""What the code location offers: keys, dependencies and jobs, held as a snapshot."""

import warnings
from pathlib import Path

import dagster as dg
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.settings import Settings

DEPENDENCIES = {
    "base_models/alpha": [],
    "base_models/beta-two": [],
    "collections/base_models": ["base_models/alpha", "base_models/beta-two"],
    "collections/datasets": ["datasets"],
    "collections/local_models": ["local_models/alpha", "local_models/beta-two"],
    "datasets": [],
    "finetuned_models/alpha": ["training_configs/alpha"],
    "finetuned_models/beta-two": ["training_configs/beta-two"],
    "local_models/alpha": ["finetuned_models/alpha"],
    "local_models/beta-two": ["finetuned_models/beta-two"],
    "oci_artifacts/alpha": ["local_models/alpha"],
    "oci_artifacts/beta-two": ["local_models/beta-two"],
    "training_configs/alpha": ["base_models/alpha", "datasets"],
    "training_configs/beta-two": ["base_models/beta-two", "datasets"],
}
JOBS = [
    "deliver_tracking",
    "finetune__alpha",
    "finetune__beta_two",
    "predict",
    "publish__alpha",
    "publish__beta_two",
    "push__alpha",
    "push__beta_two",
    "recompute_family",
    "refresh_collections",
    "register_base_models",
    "register_dataset",
    "register_pushed_model",
    "sync_base_model",
]


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    for name in ("alpha", "beta_two"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "stac-item.json").write_text("{broken")
    (tmp_path / "models" / "notes").mkdir()
    for name in ("Bad Name", "ramp.v2", "beta-two"):
        (tmp_path / "models" / name).mkdir()
        (tmp_path / "models" / name / "pipeline.py").touch()
    return build_defs(settings=Settings(home=tmp_path / "home", models=tmp_path / "models"))


def test_keys_and_dependencies(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert found == DEPENDENCIES


def test_jobs(definitions: dg.Definitions) -> None:
    names = {job.name for job in definitions.resolve_all_job_defs()}
    assert sorted(name for name in names if not name.startswith("__")) == JOBS


def test_finetunes_have_a_partition_set_a_base_model(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for kind in ("training_configs", "finetuned_models", "local_models", "oci_artifacts"):
        partitions = graph.get(dg.AssetKey([kind, "beta-two"])).partitions_def
        assert isinstance(partitions, dg.DynamicPartitionsDefinition)
        assert partitions.name == "finetunes__beta-two"


def test_every_asset_tells_an_operator_whose_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name != "default", key
        assert node.owners, key
        assert node.kinds, key
        assert node.description, key
        assert node.code_version, key


def test_the_location_loads_without_any_base_model(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", models=tmp_path / "nowhere")
    dg.Definitions.validate_loadable(build_defs(settings=settings))


def test_loading_does_not_warn_of_arguments_that_dagster_gives_itself(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        definitions = build_defs(settings=Settings(home=tmp_path / "home", models=tmp_path / "models"))
        definitions.resolve_job_def("predict")
    assert [str(one.message) for one in said if issubclass(one.category, dg.BetaWarning)] == []
