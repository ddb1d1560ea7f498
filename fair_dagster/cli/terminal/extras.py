"""Which extra of ``fair-dagster`` has a package that a command needs. The only place that knows it.

Libraries are imported inside the functions that use them, so that a missing one is an ``ImportError`` in the midst of a
command. ``missing_extra`` turns it into what to install.

See docs/decisions/0050.
"""

_PACKAGES = {
    "dagster": (
        "dagster",
        "dagster_aws",
        "dagster_pipes",
        "dagster_shared",
        "dagster_webserver",
        "boto3",
        "botocore",
    ),
    "zenml": ("matplotlib", "mlflow", "onnx", "pandas", "sklearn", "skops", "sqlalchemy", "zenml"),
    "oci": ("cql2", "cryptography", "regopy"),
    "team": (
        "celery",
        "dagster_celery",
        "dagster_k8s",
        "dagster_postgres",
        "kombu",
        "psycopg",
        "pypgstac",
        "redis",
        "s3fs",
    ),
    "wandb": ("wandb",),
    "geo": ("geopandas",),
}
EXTRAS = {package: extra for extra, packages in _PACKAGES.items() for package in packages}


def missing_extra(error: BaseException) -> str | None:
    """What to install for a package that could not be imported; None for any other error."""
    if not isinstance(error, ImportError):
        return None
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return f"this needs {package}, which is not installed: pip install 'fair-dagster[{extra}]'"
