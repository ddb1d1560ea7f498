"""What the commands of ``oci`` share: references that people type, the registries they trust by it, sizes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.terminal.session import Session

if TYPE_CHECKING:
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.registries import Registries


def reference_of(text: str) -> "Reference":
    """A reference as somebody typed it.

    Raises:
        RefusedError: it is none.
    """
    from fair_dagster.oci.references import Reference

    return Reference.parse(text)


def trusted(session: Session, *hosts: str) -> tuple[str, ...]:
    """The registries of the settings, and those that somebody has typed: these may be at private addresses, too."""
    # What the settings say of a host comes last, and counts.
    return (*hosts, *session.fair.settings.registries)


def registries_for(session: Session, *references: "Reference") -> "Registries":
    """The client for what was typed."""
    from fair_dagster.oci.registry.registries import Registries

    hosts = [reference.api_host for reference in references]
    return Registries(trusted(session, *hosts), locks=session.fair.settings.cache_path / "locks")


def annotations_option(help_text: str, *, valueless: bool = False) -> Callable[[Any], Any]:
    """``--annotation key=value``, any number of times; the command gets a dict.

    Args:
        valueless: a key alone is taken as well, and its value is None.
    """

    def read(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            if not key or (not equals and not valueless):
                raise click.BadParameter(f"{text!r} is not of the form key=value")
            if key in found:
                raise click.BadParameter(f"{key} was given twice")
            found[key] = value if equals else None
        return found

    metavar = "KEY[=VALUE]" if valueless else "KEY=VALUE"
    return click.option("--annotation", "annotations", multiple=True, metavar=metavar, callback=read, help=help_text)


def size_text(size: int) -> str:
    """Bytes as people read them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("the last unit returns")
