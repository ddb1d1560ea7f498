"""MariaDB: the database of the ZenML server, which knows no PostgreSQL."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from fair_dagster.domain.errors import ServiceError
from scripts.local_services import health
from scripts.local_services.home import HOST, write_private
from scripts.local_services.machine import run
from scripts.local_services.service import Service

USER = "zenml"
DATABASE = "zenml"


class MariaDb(Service):
    """A server of its own with one user and one database, which its start makes sure of."""

    key: ClassVar[str] = "mariadb"
    packages: ClassVar[tuple[str, ...]] = ("mariadb-server",)
    user: ClassVar[str] = "mysql"
    stop_seconds: ClassVar[float] = 30

    @property
    def url(self) -> str:
        return f"mysql://{HOST}:{self.port}"

    @property
    def _init_file(self) -> Path:
        return self.data.parent / "mariadb.sql"

    def values(self) -> Mapping[str, str]:
        return {"init_file": str(self._init_file)}

    def prepare(self) -> None:
        """Make the system tables, whole or not at all, and the statements of the start.

        Raises:
            ServiceError: the folder cannot be entered by the server's user, or the program failed.
        """
        self.machine.check_reachable(self.data, self.user)
        user = self.machine.user(self.user)
        write_private(self._init_file, self._statements())
        if user is not None:
            os.chown(self._init_file, user.pw_uid, user.pw_gid)
        if self.data.exists():
            return
        installer = self.machine.program("mariadb-install-db")
        if installer is None:
            raise ServiceError("the program 'mariadb-install-db' is missing: install MariaDB's server anew")
        folder = self.data.parent / "mariadb.new"
        shutil.rmtree(folder, ignore_errors=True)
        run(
            [
                *(str(installer), "--no-defaults", f"--datadir={folder}", "--skip-test-db"),
                "--auth-root-authentication-method=socket",
                *([f"--user={self.user}"] if user is not None else []),
            ],
            output_to=self.home.log(self.name),
            env=self.machine.environment(self.data.parent),
        )
        folder.replace(self.data)

    def _statements(self) -> str:
        password = self.secret("password")
        return (
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
            f"CREATE OR REPLACE USER '{USER}'@'{HOST}' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'{HOST}';\n"
        )

    def problem(self) -> str:
        return health.greeting(self.port)
