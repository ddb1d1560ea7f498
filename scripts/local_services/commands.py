"""How each server is started: arguments and environment as data, so that a test can compare them with `deploy/`.

Only the lines that start a server belong here. Where a program lies, which port and which folder it gets, and how it is
prepared is said elsewhere; what differs from machine to machine stands in braces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fair_dagster.domain.errors import ServiceError


@dataclass(frozen=True)
class Command:
    """Arguments and environment of a process. ``{name}`` stands for a value that the place it runs at gives."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def filled(self, values: Mapping[str, str]) -> "Command":
        """The command with its values.

        Raises:
            ServiceError: a value is missing.
        """
        try:
            return Command(
                tuple(part.format_map(values) for part in self.argv),
                {name: value.format_map(values) for name, value in self.env.items()},
            )
        except KeyError as missing:
            raise ServiceError(f"the command of {self.argv[0]} needs a value for {missing}: give it one") from None


COMMANDS: Mapping[str, Command] = {
    "postgres": Command(
        (
            *("postgres", "-D", "{data}", "-p", "{port}"),
            *("-c", "listen_addresses={host}", "-c", "unix_socket_directories="),
            *("-c", "max_connections=200", "-c", "timezone=UTC"),
        )
    ),
    "stac-api": Command(
        (
            *("uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app"),
            *("--host", "{host}", "--port", "{port}"),
        ),
        {
            "PGHOST": "{postgres_host}",
            "PGPORT": "{postgres_port}",
            "PGUSER": "{postgres_user}",
            "PGPASSWORD": "{postgres_password}",
            "PGDATABASE": "{postgres_database}",
            "ENABLE_TRANSACTIONS_EXTENSIONS": "TRUE",
            "DB_MIN_CONN_SIZE": "1",
            "DB_MAX_CONN_SIZE": "10",
        },
    ),
    "mariadb": Command(
        (
            *("mariadbd", "--no-defaults", "--datadir={data}", "--bind-address={host}", "--port={port}"),
            # Relative to the data folder: a whole path may be longer than a socket's may be.
            *("--socket=mariadb.sock", "--pid-file=mariadb.pid", "--skip-name-resolve"),
            *("--character-set-server=utf8mb4", "--max-allowed-packet=64M", "--init-file={init_file}"),
        )
    ),
    "zenml": Command(
        ("uvicorn", "zenml.zen_server.zen_server_api:app", "--host", "{host}", "--port", "{port}"),
        {
            "ZENML_STORE_URL": "mysql://{mariadb_user}:{mariadb_password}@{mariadb_host}:{mariadb_port}/{mariadb_database}",
            "ZENML_CONFIG_PATH": "{data}",
            "ZENML_SERVER_DEPLOYMENT_TYPE": "other",
            "ZENML_SERVER_AUTO_ACTIVATE": "1",
            "ZENML_DEFAULT_USER_NAME": "{admin_name}",
            "ZENML_DEFAULT_USER_PASSWORD": "{admin_password}",
            "ZENML_SERVER_JWT_SECRET_KEY": "{jwt_secret}",
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_LOGGING_COLORS_DISABLED": "true",
            "ZENML_ENABLE_RICH_TRACEBACK": "false",
            "AUTO_OPEN_DASHBOARD": "false",
        },
    ),
    "s3": Command(
        (
            *("rclone", "serve", "s3", "--addr", "{host}:{port}"),
            *("--cache-dir", "{cache}", "{data}"),
        ),
        # A list in CSV, whose one member has a comma. As an argument everybody could read it in the list of processes.
        {"RCLONE_AUTH_KEY": '"{access_key},{secret_key}"', "RCLONE_CONFIG": "/dev/null"},
    ),
    "moto": Command(("moto_server", "-H", "{host}", "-p", "{port}")),
    "registry": Command(
        ("docker-registry", "serve", "{config}"),
        {
            "REGISTRY_HTTP_ADDR": "{host}:{port}",
            "REGISTRY_HTTP_SECRET": "{http_secret}",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "{data}",
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_LOG_LEVEL": "warn",
            "OTEL_TRACES_EXPORTER": "none",
        },
    ),
    "redis": Command(
        ("redis-server", "{config}", "--bind", "{host}", "--port", "{port}", "--dir", "{data}", "--appendonly", "yes")
    ),
    "mlflow": Command(
        ("mlflow", "server", "--host", "{host}", "--port", "{port}", "--workers", "1"),
        {
            "MLFLOW_BACKEND_STORE_URI": "{backend_store}",
            "MLFLOW_ARTIFACTS_DESTINATION": "{artifacts}",
            # Of no use here, and ten processes more.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        },
    ),
}
