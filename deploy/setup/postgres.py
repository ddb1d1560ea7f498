"""Makes the databases and roles of a team in PostgreSQL, and brings pgstac's schema up to date.

Run as a superuser, or as the administrator that a managed PostgreSQL gives: ``PGHOST``, ``PGPORT``, ``PGUSER``,
``PGPASSWORD``. It may run as often as one likes: what is there stays, passwords become those of the environment, and a
newer pgstac is migrated to. Only databases, roles and schema belong here; backups and tuning are the operator's.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

MAINTENANCE_DATABASE = "postgres"
PGSTAC_DATABASE = "pgstac"
CRAWLS_SCHEMA = "fair_oci"
_TABLES = ("collections", "items", "partition_stats", "queryables")
_WAIT_SECONDS = 90.0


@dataclass(frozen=True)
class Role:
    """Who logs in, where its password stands, the database it owns, and what it may do in pgstac."""

    name: str
    password_variable: str
    database: str | None = None
    member_of: tuple[str, ...] = ()


ROLES = (
    Role("dagster", "DAGSTER_PG_PASSWORD", database="dagster"),
    Role("mlflow", "MLFLOW_DB_PASSWORD", database="mlflow"),
    # Writes the catalog, and makes the index that finds a family: that takes the owner of the tables.
    Role("fair", "PGSTAC_PASSWORD", member_of=("pgstac_admin", "pgstac_ingest", "pgstac_read")),
    Role("stac_api", "STAC_API_PASSWORD", member_of=("pgstac_read",)),
)


class SetupError(Exception):
    """What is wrong, and what to do."""


def main() -> int:
    try:
        passwords = _passwords()
        with _connected(MAINTENANCE_DATABASE) as connection:
            for role in ROLES:
                ensure_role(connection, role, passwords[role.name])
                if role.database:
                    ensure_database(connection, role.database, owner=role.name)
            ensure_database(connection, PGSTAC_DATABASE)
        print(f"pgstac is at version {migrate()}")
        with _connected(PGSTAC_DATABASE) as connection:
            check_tables(connection)
            for role in ROLES:
                grant(connection, role)
            ensure_crawls(connection)
    except (SetupError, psycopg.Error) as error:
        print(f"PostgreSQL was not prepared: {str(error).strip()}", file=sys.stderr)
        return 1
    return 0


def _passwords() -> dict[str, str]:
    missing = [role.password_variable for role in ROLES if not os.environ.get(role.password_variable)]
    if missing:
        raise SetupError(f"set {', '.join(missing)}: the passwords of the roles to be made")
    return {role.name: os.environ[role.password_variable] for role in ROLES}


@contextmanager
def _connected(database: str) -> Iterator[psycopg.Connection]:
    """A connection that commits each statement; waits for a server that is starting."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection = psycopg.connect(dbname=database, autocommit=True, connect_timeout=5)
            break
        except psycopg.OperationalError as error:
            # A wrong password or a missing database will be the same in a minute.
            refused = any(part in str(error) for part in ("authentication", "does not exist", "pg_hba"))
            if refused or time.monotonic() > deadline:
                raise
            time.sleep(2)
    with connection:
        yield connection


def ensure_role(connection: psycopg.Connection, role: Role, password: str) -> None:
    """Make the role, or give it this password. The server is sent a hash: statements may be logged."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.name.encode(), b"scram-sha-256").decode()
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.name]).fetchone()
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if found else "CREATE ROLE {} LOGIN PASSWORD {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(role.name), sql.Literal(verifier)))
    print(f"role {role.name}: {'password set' if found else 'made'}")


def ensure_database(connection: psycopg.Connection, database: str, owner: str | None = None) -> None:
    """Make the database when it is not there; only its owner and the administrator may enter."""
    name = sql.Identifier(database)
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
    if owner:
        # An administrator that is no superuser must belong to the role whose database it makes.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(owner)))
    if not found:
        owned = sql.SQL(" OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name) + owned)
    # To enter only: pgstac makes temporary tables under roles of its own. Also of one that is there: it may have been
    # made by hand for a restore, or by a setup that was killed here.
    connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
    print(f"database {database}: {'is there' if found else 'made'}")


def migrate() -> str:
    """Bring pgstac to the version of the installed package; returns it.

    Raises:
        SetupError: there is no way from the version that is there.
    """
    from pypgstac.db import PgstacDB
    from pypgstac.migrate import Migrate

    os.environ["PGDATABASE"] = PGSTAC_DATABASE
    try:
        with PgstacDB() as database:
            return Migrate(database).run_migration()
    except psycopg.Error:
        raise
    except Exception as error:
        raise SetupError(f"pgstac cannot be migrated: {error}") from error


def check_tables(connection: psycopg.Connection) -> None:
    """See that pgstac is whole: a dump that is restored as it is comes without its collections.

    Raises:
        SetupError: a table is missing.
    """
    query = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass('pgstac.' || name) IS NULL"
    missing = [str(name) for (name,) in connection.execute(query, [list(_TABLES)]).fetchall()]
    if missing:
        raise SetupError(
            f"the database {PGSTAC_DATABASE} lacks the tables {', '.join(missing)}: restore it as docs/deploying.md "
            "tells, or drop it and import the catalog from an export"
        )


def grant(connection: psycopg.Connection, role: Role) -> None:
    """Let a role into pgstac as far as it needs."""
    if not role.member_of:
        return
    name, database = sql.Identifier(role.name), sql.Identifier(PGSTAC_DATABASE)
    groups = sql.SQL(", ").join(map(sql.Identifier, role.member_of))
    connection.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(database, name))
    connection.execute(sql.SQL("GRANT {} TO {}").format(groups, name))
    path = "ALTER ROLE {} IN DATABASE {} SET search_path TO pgstac, public"
    connection.execute(sql.SQL(path).format(name, database))


def ensure_crawls(connection: psycopg.Connection, owner: str = "fair") -> None:
    """Make the schema in which a team shares what its crawls of registries have found."""
    name, role = sql.Identifier(CRAWLS_SCHEMA), sql.Identifier(owner)
    # An administrator that is no superuser must belong to the role whose schema it makes.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(name, role))


if __name__ == "__main__":
    sys.exit(main())
