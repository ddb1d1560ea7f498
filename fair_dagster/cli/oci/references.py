"""What the commands of ``oci`` share: registries as people type them, annotations, sizes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.terminal.session import Session

if TYPE_CHECKING:
    from fair_dagster.fair import Oci


def oci_of(session: Session) -> "Oci":
    """``Fair.oci`` for what somebody has typed: the registries of typed references may be at private addresses, too."""
    return session.fair.oci.trusting_references()


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
