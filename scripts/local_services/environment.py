"""The file to be sourced, under whose variables clients find the servers."""

import shlex
from collections.abc import Sequence

from scripts.local_services.home import Home, write_private
from scripts.local_services.servers import Moto, s3_variables
from scripts.local_services.service import Service


def variables(home: Home, running: Sequence[Service]) -> dict[str, str]:
    """What clients need in their environment. Of two S3 servers the one is named that keeps its objects."""
    found = {"FAIR_HOME": str(home.path.parent)}
    for service in running:
        found.update({name: value for name, value in service.variables().items() if value})
    moto = next((service for service in running if isinstance(service, Moto)), None)
    if moto is not None and "FAIR_S3_ENDPOINT" not in found:
        found.update(s3_variables(moto.url, "moto", "moto"))
    return found


def write_environment(home: Home, running: Sequence[Service]) -> None:
    """Write the file anew, readable by its owner only."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables(home, running).items())]
    head = "# Made by 'scripts/services up'. Holds passwords.\n"
    write_private(home.env_file, head + "\n".join(lines) + "\n")
