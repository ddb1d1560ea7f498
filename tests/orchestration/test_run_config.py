"""Run configurations, held against the jobs that they are for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.orchestration import keys, run_config
from fair_dagster.settings import Settings

PREDICTION = {"model": "town-v1", "output": "/o.geojson", "config_path": "/c.json", "result_path": "/r.json"}
CONFIGS = [
    (keys.DATASETS_JOB, run_config.configure_dataset(Path("/data/stac-item.json"))),
    (keys.SYNC_JOB, run_config.configure_sync("ramp")),
    (keys.PUSHED_JOB, run_config.configure_pushed("registry.example.org/models/m@sha256:0")),
    (keys.RECOMPUTE_JOB, run_config.configure_recompute("town")),
    (keys.RECOMPUTE_JOB, run_config.configure_recompute("town", without="6f1c")),
    (keys.PREDICT_JOB, run_config.configure_prediction(PREDICTION)),
    (keys.COLLECTIONS_JOB, run_config.configure_collections(repair=True)),
]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    home = tmp_path_factory.mktemp("home")
    return build_defs(settings=Settings(home=home, models=home / "models"))


@pytest.mark.parametrize(("job", "config"), CONFIGS)
def test_a_job_takes_what_it_is_configured_with(
    definitions: dg.Definitions, job: str, config: Mapping[str, Any]
) -> None:
    assert dg.validate_run_config(definitions.resolve_job_def(job), {**config, **run_config.QUIET})


def test_what_is_set_of_an_op_is_read_back() -> None:
    config = run_config.configure_prediction(PREDICTION)
    assert run_config.config_of(config, keys.PREDICT_OP) == PREDICTION
    assert run_config.config_of(config, keys.SYNC_OP) == {}
    assert run_config.config_of({}, keys.PREDICT_OP) == {}


@pytest.mark.parametrize(
    ("job", "is_finetune", "activity"),
    [
        (keys.finetune_job("some-model"), True, "finetune"),
        (keys.publish_job("some-model"), False, "publish"),
        (keys.RECOMPUTE_JOB, False, "recompute family"),
    ],
)
def test_what_a_job_does_is_told_by_its_name(job: str, is_finetune: bool, activity: str) -> None:
    assert (keys.is_finetune_job(job), keys.activity_of_job(job)) == (is_finetune, activity)
