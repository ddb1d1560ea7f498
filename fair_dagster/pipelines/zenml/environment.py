"""The environment in which ZenML runs here: inside ``FAIR_HOME``, quiet, without telemetry.

ZenML reads its variables when it is imported, so ``prepare`` comes before the first ``import zenml``.
No client and no call to ZenML belongs here.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Literal

from fair_dagster.domain.errors import ServiceError
from fair_dagster.settings import Settings

CONFIG_VARIABLE = "ZENML_CONFIG_PATH"
NO_KEY_FILE = "DISABLE_CREDENTIALS_DISK_CACHING"
_CREDENTIALS = ("ZENML_STORE_API_KEY", "ZENML_STORE_API_TOKEN", "ZENML_STORE_PASSWORD")
# Loggers that repeat the stack, offer a dashboard or report their own set-up in every run.
_CHATTY = {
    "zenml.pipelines.pipeline_definition": logging.WARNING,
    "zenml.orchestrators.step_run_utils": logging.WARNING,
    "zenml.zen_stores.base_zen_store": logging.ERROR,
    "zenml.stack.utils": logging.ERROR,
}
Verbosity = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def zenml_environment(settings: Settings, *, verbosity: Verbosity = "WARNING") -> dict[str, str]:
    """The variables that ZenML needs, for ``os.environ`` or for a child process.

    All paths lie inside ``settings.home``. Variables that name a server (``ZENML_STORE_URL``,
    ``ZENML_STORE_API_KEY``), a stack or a project are not in it: what the user has set stays in force.
    """
    return {
        CONFIG_VARIABLE: str(settings.zenml_path),
        "ZENML_LOCAL_STORES_PATH": str(settings.zenml_path / "local_stores"),
        # Where `models.<name>` is imported from; under `dagster dev` ZenML finds no source root of its own.
        "ZENML_CUSTOM_SOURCE_ROOT": str(settings.models.parent),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": verbosity,
        "ZENML_LOGGING_COLORS_DISABLED": "true",
        "ZENML_ENABLE_RICH_TRACEBACK": "false",
        "ZENML_ENABLE_REPO_INIT_WARNINGS": "false",
        "ZENML_DISABLE_CLIENT_SERVER_MISMATCH_WARNING": "true",
        # A log is read whole: the default serves the oldest 50,000 lines and no tail.
        "ZENML_LOGS_MAX_ENTRIES_PER_REQUEST": "1000000",
        "ZENML_AUTO_OPEN_DASHBOARD": "false",
        "AUTO_OPEN_DASHBOARD": "false",
    }


def prepare(settings: Settings, *, verbosity: Verbosity = "WARNING") -> None:
    """Set the variables in this process. May be called again with equal settings.

    A key that comes from the environment stays there: ZenML then keeps no file of credentials.

    Raises:
        ServiceError: ZenML was imported before with another configuration; it would write elsewhere.
    """
    variables = zenml_environment(settings, verbosity=verbosity)
    if "zenml" in sys.modules:
        current = os.environ.get(CONFIG_VARIABLE)
        if current is None or Path(current) != settings.zenml_path:
            raise ServiceError(
                f"ZenML is already in use in this process with {current or 'its default folder'}, not with "
                f"{settings.zenml_path}: use one FAIR_HOME a process, and start a new process for another"
            )
        return
    settings.zenml_path.parent.mkdir(parents=True, exist_ok=True)
    # What `zenml login` leaves there is for its owner alone.
    settings.zenml_path.mkdir(mode=0o700, exist_ok=True)
    if any(os.environ.get(name) for name in _CREDENTIALS):
        # ZenML would write the key of the environment into a file that everybody can read.
        os.environ[NO_KEY_FILE] = "true"
    os.environ.update(variables)
    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(level)
