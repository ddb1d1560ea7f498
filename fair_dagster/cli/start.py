"""``init`` and ``ui``: making an installation, and looking at it in the browser."""

import os
import socket
import sys

import click

from fair_dagster.cli.terminal.session import Session, reports, serves

_HOST = "127.0.0.1"
_PORT = 3000


@click.command("init")
@reports
def init(session: Session) -> None:
    """Make the home folder, an empty catalog and the Dagster instance. What is there stays."""
    home, settings = session.fair.init(), session.fair.settings
    catalog = settings.catalog or str(settings.catalog_path)
    first = "sync" if settings.follows_branch else "register --all"

    def text() -> None:
        session.out.line(f"home     {home}")
        session.out.line(f"catalog  {catalog}")
        session.out.hint(f"fair-dagster base-model {first}")

    session.out.show({"home": str(home), "catalog": catalog}, text)


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=_PORT, show_default=True)
@click.option("--host", default=_HOST, show_default=True, help="0.0.0.0 opens it to the network; it has no password.")
@serves
def ui(session: Session, port: int, host: str) -> None:
    """Start the Dagster UI and its daemon on this installation; Ctrl-C ends them."""
    from fair_dagster.domain.errors import RefusedError

    if problem := _port_problem(host, port):
        raise RefusedError(f"starting the UI at {host}:{port}", [problem])
    session.fair.init()
    click.echo(f"The Dagster UI opens at http://{host}:{port} in some 20 seconds; Ctrl-C ends it.")
    command = ui_command(host, port)
    sys.stdout.flush()
    os.execve(command[0], command, ui_environment(session, host, port))  # noqa: S606 - no shell is wanted


def ui_command(host: str, port: int) -> list[str]:
    """The command line that serves the UI."""
    target = ["-m", "fair_dagster.definitions", "-h", host, "-p", str(port)]
    return [sys.executable, "-m", "dagster", "dev", *target]


def ui_environment(session: Session, host: str = _HOST, port: int = _PORT) -> dict[str, str]:
    """The environment that leads the UI, its daemon and the runs they start to this installation."""
    settings = session.fair.settings
    # A DAGSTER_HOME of the user's own is what the runs are recorded in as well.
    instance = os.environ.get("DAGSTER_HOME", str(settings.dagster_path))
    quiet = {"PYTHONWARNINGS": "ignore:Function `dev_command` is superseded"}
    # Its sensor asks the UI to load new base model folders.
    reachable = _HOST if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
    own = {"FAIR_DAGSTER_URL": settings.dagster_url or f"http://{reachable}:{port}"}
    return {**os.environ, **settings.environment(), **own, **quiet, "DAGSTER_HOME": instance}


def _port_problem(host: str, port: int) -> str | None:
    """Why nothing can be served there; ``dagster dev`` itself would take another port without a word."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return f"host {host!r} is not known: {error.strerror}"
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # Without it a port that was used a moment ago counts as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return f"the port cannot be used ({error.strerror}); choose another with --port"
    return None
