"""A shell that names live servers must not lead the tests to them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.isolation import forget_servers


def test_no_variable_of_a_server_is_left() -> None:
    environment = {
        "FAIR_CATALOG": "http://live",
        "ZENML_STORE_URL": "x",
        "PGHOST": "x",
        "FAIR_REQUIRE_SERVICES": "1",
        "HOME": "/h",
    }

    forget_servers(environment)

    assert environment == {"FAIR_REQUIRE_SERVICES": "1", "HOME": "/h"}


def test_pytest_forgets_them_before_a_test_runs() -> None:
    """A session of its own, which begins as one of somebody who has sourced the file of servers."""
    live = {"FAIR_CATALOG": "http://127.0.0.1:9", "FAIR_ARTIFACTS": "s3://live", "FAIR_REQUIRE_SERVICES": "1"}
    wanted = "test_settings_name_no_server_here"

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", f"{__file__}::{wanted}"],
        env={**os.environ, **live},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout


def test_settings_name_no_server_here() -> None:
    named = {name for name in os.environ if name.startswith(("FAIR_", "ZENML_STORE", "AWS_"))} - {
        "FAIR_REQUIRE_SERVICES"
    }

    # ZenML's own variables are set by this program once it is used in the process.
    assert not named & {"FAIR_CATALOG", "FAIR_ARTIFACTS", "FAIR_PGSTAC_DSN", "ZENML_STORE_URL", "AWS_ACCESS_KEY_ID"}
