"""Variables that deploy/ sets: each is one that somebody reads. A name misspelt is found here, not in production."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from fair_dagster.settings import Settings
from tests.deploy.documents import DEPLOY, interpolated, manifests, services, settings_of, stages, variables_asked_for

VARIABLE = re.compile(r"\b(?:FAIR|ZENML|DAGSTER|MLFLOW)_[A-Z0-9_]+\b")
# Read by deploy/setup.
OF_SETUP = {"DAGSTER_PG_PASSWORD", "MLFLOW_DB_PASSWORD", "ZENML_URL", "ZENML_USER", "ZENML_PASSWORD"}


def _named(prefix: str) -> dict[str, set[str]]:
    """The variables of a prefix, with the files that name them."""
    found: dict[str, set[str]] = {}
    for path in (*DEPLOY.rglob("*"), DEPLOY / "compose" / ".env.example"):
        # Stack files ask for variables of their own, and have tests of their own.
        other = {"__pycache__", "zenml", ".env"} & set(path.parts)
        if path.is_file() and not other:
            for name in VARIABLE.findall(path.read_text()):
                if name.startswith(prefix):
                    found.setdefault(name, set()).add(str(path.relative_to(DEPLOY)))
    return found


def test_every_setting_is_a_setting() -> None:
    known = {f"FAIR_{name.upper()}" for name in Settings.model_fields}
    assert {name: files for name, files in _named("FAIR_").items() if name not in known} == {}


def test_every_variable_of_dagster_is_one_that_an_instance_or_dagster_asks_for() -> None:
    files = (DEPLOY / "dagster").glob("*.yaml")
    asked_for = {name for path in files for name in re.findall(r"env: (\w+)", path.read_text())}
    unknown = set(_named("DAGSTER_")) - asked_for - OF_SETUP - {"DAGSTER_HOME"}
    assert unknown == set()
    for name in ("code-location", "webserver", "daemon", "worker", "worker-training"):
        assert asked_for <= set(services()[name]["environment"]), name


def test_every_variable_of_zenml_is_one_of_zenml() -> None:
    from zenml import constants
    from zenml.config.server_config import ServerConfiguration
    from zenml.zen_stores.rest_zen_store import RestZenStoreConfiguration
    from zenml.zen_stores.sql_zen_store import SqlZenStoreConfiguration

    known = {value for value in vars(constants).values() if isinstance(value, str)}
    known |= {f"ZENML_SERVER_{name.upper()}" for name in ServerConfiguration.model_fields}
    for store in (RestZenStoreConfiguration, SqlZenStoreConfiguration):
        known |= {f"ZENML_STORE_{name.upper()}" for name in store.model_fields}
    # Of the REST store: it moves the key to where credentials are kept before its fields are read.
    known.add("ZENML_STORE_API_KEY")
    assert {name: files for name, files in _named("ZENML_").items() if name not in known | OF_SETUP} == {}


def test_every_variable_of_mlflow_is_one_of_mlflow() -> None:
    from mlflow import cli, environment_variables

    known = {str(value) for value in vars(environment_variables).values() if hasattr(value, "get_raw")}
    known |= {str(option.envvar) for option in cli.server.params if option.envvar}
    known |= set(re.findall(r"MLFLOW_\w+", inspect.getsource(environment_variables)))
    unknown = set(_named("MLFLOW_")) - known - OF_SETUP
    # Credentials of a tracking server, which its client reads.
    assert unknown - {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} == set()


def _settings(environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [f"FAIR_{field.upper()}" for field in Settings.model_fields]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        if value is not None:
            monkeypatch.setenv(name, str(value))
    return Settings()


def _deployed() -> Iterator[tuple[str, dict[str, Any]]]:
    filled = dict.fromkeys(variables_asked_for(), "x" * 8)
    for name in ("code-location", "worker", "worker-training"):
        environment = services()[name]["environment"]
        yield name, {key: interpolated(str(value), filled) for key, value in environment.items() if value is not None}
    yield "kubernetes", settings_of("fair-settings")


@pytest.mark.parametrize(
    ("name", "environment"), list(_deployed()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_the_settings_can_be_read_and_mean_servers(
    name: str, environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings({**stages()["code-location"].environment, **environment}, monkeypatch)
    assert str(settings.home) == "/data"
    assert settings.catalog.startswith("http://")
    assert settings.artifacts.startswith("s3://")
    assert settings.tracking_uri.startswith("http://")
    assert settings.executor in {"celery", "kubernetes"}
    if name != "kubernetes":
        assert settings.pgstac_dsn is not None
        assert settings.broker_url is not None


def test_code_location_and_workers_have_equal_settings() -> None:
    environments = [services()[name]["environment"] for name in ("code-location", "worker", "worker-training")]
    assert environments[0] == environments[1] == environments[2]


def test_what_kubernetes_gets_is_what_compose_gives_but_for_its_secrets_and_places() -> None:
    here = set(settings_of("fair-settings"))
    there = {name for name, value in services()["code-location"]["environment"].items() if value is not None}
    # In the Secrets `fair-secrets` and `dagster-postgresql`, in the chart's values, for the operator to add, or of no
    # use there.
    elsewhere = {
        *("FAIR_PGSTAC_DSN", "FAIR_BROKER_URL", "ZENML_STORE_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("DAGSTER_PG_HOST", "DAGSTER_PG_PORT", "DAGSTER_PG_USER", "DAGSTER_PG_PASSWORD", "DAGSTER_PG_DB"),
        *("DAGSTER_CODE_LOCATION_HOST", "DAGSTER_CODE_LOCATION_PORT"),
        *("FAIR_S3_ENDPOINT", "FAIR_S3_PATH_STYLE", "AWS_ENDPOINT_URL_S3", "FAIR_REGISTRIES"),
        "FAIR_DAGSTER_PUBLIC_URL",
    }
    assert there - here == elsewhere
    # No public address: an example that is left there would stand in the items that readers copy.
    assert here - there == {"FAIR_TRAINING_RESOURCES"}
    assert not any("example.org" in value for value in settings_of("fair-settings").values())


def test_all_maps_hold_text() -> None:
    for document in manifests():
        if document["kind"] == "ConfigMap":
            assert all(isinstance(value, str) for value in document["data"].values())
