"""Which ZenML belongs to this home: remembered at the first use, compared at every later one.

An empty or foreign ZenML answers like one in which everything was deleted. What is concluded from its rows has no
place here.

See docs/decisions/0019.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.urls import redact
from fair_dagster.net.files import write_json
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client

# A process has one ZenML; its homes are many only in tests.
COMPARED: set[Path] = set()


@dataclass(frozen=True)
class Identity:
    """A database of ZenML and a project in it. Their ids tell them apart; name and URL are for people."""

    store: str
    project: str
    project_name: str
    url: str

    @classmethod
    def of(cls, client: "Client") -> Self:
        store, project = client.zen_store, client.active_project
        return cls(str(store.get_deployment_id()), str(project.id), project.name, redact(store.url))

    def __str__(self) -> str:
        return f"project {self.project_name!r} ({self.project}) of the database {self.store} at {self.url}"

    def is_same(self, other: "Identity") -> bool:
        """A database that has moved to another URL is the same one."""
        return (self.store, self.project) == (other.store, other.project)


def require_same_zenml(settings: Settings, client: "Client") -> None:
    """Make sure that ``client`` leads to the ZenML that this home has used before. Asks once a process.

    A home in which nothing is remembered remembers this one.

    Raises:
        ServiceError: it is another ZenML or another project; nothing can be concluded from what is not in it.
        StorageError: the first one could not be remembered.
    """
    path = settings.zenml_identity_path
    if path in COMPARED:
        return
    now, before = Identity.of(client), _read_remembered(path)
    if before is None:
        write_json(path, asdict(now))
    elif not now.is_same(before):
        raise ServiceError(
            f"this is another ZenML than {settings.home} has used so far, and its models are not in it.\n"
            f"  now:    {now}\n"
            f"  before: {before}\n"
            "Likely causes: ZENML_STORE_URL is not set, or set otherwise, in this shell; another project is active; "
            f"{settings.zenml_path} was lost; FAIR_HOME was moved, and {settings.zenml_path / 'config.yaml'} names the "
            f"database at its old place. If the other ZenML is meant, delete {path}"
        )
    COMPARED.add(path)


def _read_remembered(path: Path) -> Identity | None:
    try:
        return Identity(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ServiceError(
            f"{path} says which ZenML belongs to this home, and cannot be read ({error}): delete it when the ZenML "
            "that is in use now is the right one"
        ) from error
