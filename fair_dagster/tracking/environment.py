"""The environments of the two processes that a tracker's client runs in: quiet, patient for seconds only, and with the
defaults without any network. What the user has set for the client itself stays in force in the sender.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from fair_dagster.domain.urls import split_credentials
from fair_dagster.settings import Settings
from fair_dagster.tracking.outbox import Entry

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow calls its file store finished, not wrong; it needs no database, and processes may share it.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def sender_environment(settings: Settings, current: Mapping[str, str]) -> dict[str, str]:
    """Variables for the sender, beside ``current``, the environment that it inherits."""
    defaults = {name: value for name, value in _IMPATIENT.items() if name not in current}
    # MLflow prints its URI, and names it in errors: a password has to come to it by another way.
    uri, user_info = split_credentials(settings.tracking_uri)
    user, _, password = user_info.partition(":")
    secrets = {"MLFLOW_TRACKING_USERNAME": unquote(user), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
    given = secrets if user_info and settings.tracking == "mlflow" else {}
    return {**settings.environment(), **_QUIET, **defaults, **given, "FAIR_TRACKING_URI": uri}


def training_environment(settings: Settings, entry: Entry) -> dict[str, str]:
    """Variables for the process that trains: what a pipeline logs by MLflow itself goes to a folder of the entry.

    So it cannot fail for a server that is away, and lands in the one run, whichever tracker that is in.
    """
    store = entry.contributed_path
    return {
        **_QUIET,
        "MLFLOW_TRACKING_URI": store.as_uri(),
        "MLFLOW_REGISTRY_URI": store.as_uri(),
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(settings.tracking_path),
    }
