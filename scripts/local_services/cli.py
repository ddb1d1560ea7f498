"""`scripts/services`: the commands, and how their results are shown. What they do is in `supervisor`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fair_dagster.domain.errors import FairError
from fair_dagster.settings import Settings
from scripts.local_services.home import Home
from scripts.local_services.readers import install_readers
from scripts.local_services.servers import SERVICES
from scripts.local_services.supervisor import Status, Supervisor

_COLOURS = {"running": "green", "stopped": "dim", "died": "red", "not answering": "yellow"}
_NAMES = f"NAMES are any of {', '.join(SERVICES)}."


class _Group(click.Group):
    """Shows the project's own errors as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FairError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(path_type=Path), help="Instead of FAIR_HOME (default: .fair).")
@click.pass_context
def main(context: click.Context, home: Path | None) -> None:
    """Run real servers on this machine: PostgreSQL with pgstac, a STAC API, ZenML, S3, a registry, Redis, MLflow.

    Ports, passwords, data and logs are kept under FAIR_HOME/services, and are the same after 'down' and 'up'.
    """
    context.obj = Home(Settings(home=home).services_path if home else Settings().services_path)


@main.command(epilog=_NAMES)
@click.argument("names", nargs=-1)
@click.pass_obj
def up(home: Home, names: Sequence[str]) -> None:
    """Start servers and what they need; without NAMES all but moto.

    As root on Debian, missing packages are installed. Servers that run already are left alone.
    """
    outcomes = _supervisor(home).up(names)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"\nerror: {outcome.name}: {outcome.error}", err=True)
    click.echo(f"source {home.env_file}")
    if failed:
        raise SystemExit(1)


@main.command(epilog=_NAMES)
@click.argument("names", nargs=-1)
@click.pass_obj
def down(home: Home, names: Sequence[str]) -> None:
    """Stop servers and those that need them; without NAMES all. Their data stay."""
    stopped = _supervisor(home).down(names)
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@main.command(epilog=_NAMES)
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="A list of objects instead of a table.")
@click.pass_obj
def status(home: Home, names: Sequence[str], as_json: bool) -> None:
    """Show which servers answer. Ends with 1 when one has died or does not answer."""
    found = _supervisor(home).status(names)
    if as_json:
        click.echo(json.dumps([{**asdict(one), "log": str(one.log)} for one in found], indent=2))
    else:
        _show(found)
    if any(one.problem for one in found):
        raise SystemExit(1)


@main.command(epilog=_NAMES)
@click.argument("names", nargs=-1)
@click.option("--tests", is_flag=True, help="Also what tests read servers with: skopeo, umoci, BusyBox.")
@click.pass_obj
def install(home: Home, names: Sequence[str], tests: bool) -> None:
    """Install the Debian packages that servers lack, and start nothing."""
    supervisor = _supervisor(home)
    missing = supervisor.install(supervisor.named(names))
    if tests:
        try:
            home.make()
            install_readers(supervisor.machine, home.log("apt"))
        except FairError as error:
            missing["tests"] = str(error)
    for name, reason in missing.items():
        click.echo(f"error: {name}: {reason}", err=True)
    if missing:
        raise SystemExit(1)
    click.echo("everything is installed")


def _supervisor(home: Home) -> Supervisor:
    return Supervisor(home, report=lambda line: click.echo(line, err=True))


def _show(found: Sequence[Status]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("SERVER", "STATE", "URL", "PID", "LOG"):
        table.add_column(column, overflow="fold")
    for one in found:
        state = f"[{_COLOURS[one.state]}]{one.state}[/]"
        table.add_row(one.name, state, one.url, str(one.pid or ""), str(one.log) if one.log.exists() else "")
    console = Console()
    console.print(table)
    for one in found:
        if one.problem:
            console.print(f"{one.name}: {one.problem}", markup=False, highlight=False)
