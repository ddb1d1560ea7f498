"""The servers, one module each: what is particular to PostgreSQL, MariaDB, ZenML and the others."""

from scripts.local_services.servers.mariadb import MariaDb
from scripts.local_services.servers.mlflow import Mlflow
from scripts.local_services.servers.moto import Moto
from scripts.local_services.servers.postgres import ADMIN, PGSTAC, Postgres
from scripts.local_services.servers.redis import Redis
from scripts.local_services.servers.registry import Registry
from scripts.local_services.servers.s3 import S3, s3_variables
from scripts.local_services.servers.stac_api import StacApi
from scripts.local_services.servers.zenml import ZenMl
from scripts.local_services.service import Service

SERVICES: dict[str, type[Service]] = {
    kind.key: kind for kind in (Postgres, StacApi, MariaDb, ZenMl, S3, Moto, Registry, Redis, Mlflow)
}
"""By name, each after those that it needs."""

__all__ = [
    "ADMIN",
    "PGSTAC",
    "S3",
    "SERVICES",
    "MariaDb",
    "Mlflow",
    "Moto",
    "Postgres",
    "Redis",
    "Registry",
    "StacApi",
    "ZenMl",
    "s3_variables",
]
