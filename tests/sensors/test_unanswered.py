"""The stage sensor over a ZenML server that does not answer."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.pipelines.zenml.client import give_up_soon
from fair_dagster.settings import PROJECT_ROOT
from tests.catalog.sets import LOCAL, promotion
from tests.sensors.unanswered_tick import overloaded


def test_a_server_that_does_not_answer_fails_the_tick_at_once_and_changes_nothing(tmp_path: Path) -> None:
    """ZenML's own calls would go on for longer than Dagster lets a tick last."""
    home = tmp_path / "home"
    store = JsonStore(home / "catalog")
    store.apply(promotion(store, "ramp", 1))
    before = store.family(LOCAL, "ramp")
    command = [sys.executable, "-m", "tests.sensors.unanswered_tick", str(home)]
    child = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=120)
    told = json.loads(child.stdout)

    assert "is not ready (503 Service Unavailable)" in told["overloaded"]
    assert "is not ready (503 Service Unavailable)" in told["not_ended"]
    assert told["asked"] == 2
    assert "cannot be reached ([Errno 111] Connection refused): check that it runs" in told["gone"]
    assert before
    assert JsonStore(home / "catalog").family(LOCAL, "ramp") == before


def test_a_client_that_is_not_patient_asks_an_overloaded_server_once() -> None:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(status=3, status_forcelist=[503], backoff_factor=0.01)))
    give_up_soon(SimpleNamespace(session=session))
    with overloaded() as server:
        assert session.get(server.url).status_code == 503
    assert server.asked == 1
