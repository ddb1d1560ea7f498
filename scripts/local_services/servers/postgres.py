"""PostgreSQL with PostGIS: the database of pgstac, and one for Dagster."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from fair_dagster.domain.errors import ServiceError
from scripts.local_services.commands import Command
from scripts.local_services.home import HOST, write_private
from scripts.local_services.machine import run
from scripts.local_services.service import Service

ADMIN = "postgres"
USER = "fair"
"""The role that writes the catalog; it may do no more than in a team's database."""
DAGSTER = "dagster"
"""Role and database."""
PGSTAC = "pgstac"
_SETUP = Path(__file__).resolve().parents[3] / "deploy" / "setup" / "postgres.py"


class Postgres(Service):
    """A cluster of its own, with the databases and roles that a team has."""

    key: ClassVar[str] = "postgres"
    packages: ClassVar[tuple[str, ...]] = ("postgresql", "postgresql-postgis")
    user: ClassVar[str] = "postgres"
    # SIGTERM would wait until the last client has gone.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    stop_seconds: ClassVar[float] = 30
    stop_whole_group: ClassVar[bool] = False

    @property
    def url(self) -> str:
        return f"postgresql://{HOST}:{self.port}"

    def dsn(self, database: str = PGSTAC, role: str = USER) -> str:
        """The URL of a database, with the password of the role."""
        return f"postgresql://{role}:{self.secret(role)}@{HOST}:{self.port}/{database}"

    def program(self) -> Path | None:
        """``postgres`` of the version that the data are of; else of the newest version that has PostGIS."""
        versions = sorted(
            (found for found in self.machine.postgres.glob("[0-9]*") if found.name.isdigit()), key=_number
        )
        if self._version:
            versions = [found for found in versions if found.name == self._version]
        fit = [found / "bin" / "postgres" for found in versions if _has_postgis(found)]
        return fit[-1] if fit else self._elsewhere()

    def _elsewhere(self) -> Path | None:
        # Other systems keep one version, in the PATH.
        return None if self.machine.postgres.exists() else self.machine.program("postgres")

    @property
    def _version(self) -> str:
        """The major version that wrote the data; empty where there are none."""
        try:
            return (self.data / "PG_VERSION").read_text().strip()
        except OSError:
            return ""

    def command(self) -> Command:
        command = super().command()
        if self.durable:
            return command
        # Kept: what a killed server has acknowledged. Lost: what the machine had not yet written when it stopped.
        quick = ("-c", "fsync=off", "-c", "full_page_writes=off")
        return Command((*command.argv, *quick), command.env)

    def prepare(self) -> None:
        """Make the cluster, whole or not at all.

        Raises:
            ServiceError: the folder cannot be entered by the server's user, or ``initdb`` failed.
        """
        self.machine.check_reachable(self.data, self.user)
        if self._version:
            return
        program = self.program()
        if program is None:
            raise ServiceError("the program 'postgres' with PostGIS is missing: install it")
        folder = self.data.parent / "postgres.new"
        password = folder / "password"
        _empty(folder)
        write_private(password, self.secret(ADMIN))
        user = self.machine.user(self.user)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(password, user.pw_uid, user.pw_gid)
        run(
            [
                *(str(program.with_name("initdb")), "-D", str(folder / "data"), "-U", ADMIN, "--auth=scram-sha-256"),
                *(f"--pwfile={password}", "--encoding=UTF8", "--locale=C", *([] if self.durable else ["--no-sync"])),
            ],
            output_to=self.home.log(self.name),
            cwd=folder,
            env=self.machine.environment(folder),
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
        )
        (folder / "data").replace(self.data)
        _empty(folder)
        folder.rmdir()

    def problem(self) -> str:
        import psycopg

        try:
            with psycopg.connect(self.dsn("postgres", ADMIN), connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return ""

    def provision(self) -> None:
        """Make the databases and roles of a team, and bring pgstac to the version of the lock: as `deploy/` does."""
        if self._is_provisioned():
            return
        run(
            [sys.executable, str(_SETUP)],
            output_to=self.home.log(self.name),
            env={
                **self.machine.environment(self.home.path),
                "PGHOST": HOST,
                "PGPORT": str(self.port),
                "PGUSER": ADMIN,
                "PGPASSWORD": self.secret(ADMIN),
                "PGSTAC_PASSWORD": self.secret(USER),
                "DAGSTER_PG_PASSWORD": self.secret(DAGSTER),
                "MLFLOW_DB_PASSWORD": self.secret("mlflow"),
                "STAC_API_PASSWORD": self.secret("stac_api"),
            },
        )

    def _is_provisioned(self) -> bool:
        """Whether the roles can log in, and pgstac is that of the lock."""
        import psycopg

        try:
            with psycopg.connect(self.dsn(DAGSTER, DAGSTER)), psycopg.connect(self.dsn()) as connection:
                found = connection.execute("SELECT pgstac.get_version()").fetchone()
        except psycopg.Error:
            return False
        return found is not None and found[0] == metadata.version("pypgstac")

    def make_database(self, name: str, template: str = "") -> None:
        """Make a database, a copy of another one if need be, in which `USER` finds pgstac as in that of a team."""
        from psycopg import sql

        # Copying the files is as quick as writing them to the log, and keeps 17 MB out of it.
        copy = sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(template)) if template else sql.SQL("")
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copy)
        found = "ALTER ROLE {} IN DATABASE {} SET search_path TO pgstac, public"
        self.execute(sql.SQL(found).format(sql.Identifier(USER), sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Remove a database if there is one, also from under its clients."""
        from psycopg import sql

        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: Any, parameters: tuple[object, ...] = (), database: str = "postgres") -> list[Any]:
        """Run one statement as administrator, outside of a transaction, and give its rows."""
        import psycopg

        with psycopg.connect(self.dsn(database, ADMIN), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def variables(self) -> Mapping[str, str]:
        return {
            "FAIR_PGSTAC_DSN": self.dsn(),
            "DAGSTER_PG_HOST": HOST,
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_USER": DAGSTER,
            "DAGSTER_PG_PASSWORD": self.secret(DAGSTER),
            "DAGSTER_PG_DB": DAGSTER,
        }


def _number(folder: Path) -> int:
    return int(folder.name)


def _has_postgis(version: Path) -> bool:
    control = version.parents[2] / "share" / "postgresql" / version.name / "extension" / "postgis.control"
    return control.exists() and (version / "bin" / "postgres").exists()


def _empty(folder: Path) -> None:
    """Make a folder, and remove what an attempt that was killed has left in it."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=True)
    folder.mkdir(mode=0o700)
