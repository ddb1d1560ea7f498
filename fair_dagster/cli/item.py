"""``item``: show, patch."""

from typing import Any, TextIO

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.values import set_option


@click.group("item")
def item() -> None:
    """STAC items: of base models, datasets and published versions."""


@item.command("show", short_help="An item, by id or by the name of its model.")
@click.argument("item_id")
@reports
def show(session: Session, item_id: str) -> None:
    """An item by id, or the active version of a finetuned model by its name. --json prints the item itself."""
    found = session.fair.item(item_id)

    def text() -> None:
        session.out.pairs([*views.item_pairs(found), ("file", session.fair.href(found))])
        if rows := views.hyperparameter_rows(found):
            session.out.line()
            session.out.table(views.HYPERPARAMETER_COLUMNS, rows)

    session.out.show(found, text)


@item.command("patch")
@click.argument("item_id")
@set_option("A property, e.g. --set fair:pinned=true; null removes it.")
@click.option("--file", "stream", type=click.File("r", encoding="utf-8"), help="A merge patch (RFC 7396); - is stdin.")
@reports
def patch(session: Session, item_id: str, overrides: dict[str, Any], stream: TextIO | None) -> None:
    """Change the fields of an item that belong to its users. No recompute loses them.

    A patch may hold properties, assets, links and stac_extensions; fields that the system derives are refused by name.
    """
    if bool(overrides) == (stream is not None):
        raise click.UsageError("give --set or --file")
    change = {"properties": overrides} if stream is None else _read(stream)
    found = session.fair.patch(item_id, change)
    session.out.show(found, lambda: session.out.line(f"patched {found['id']}: {session.fair.href(found)}"))


def _read(stream: TextIO) -> dict[str, Any]:
    import orjson

    from fair_dagster.domain.errors import RefusedError

    try:
        change = orjson.loads(stream.read())
    except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"patch {stream.name}", [f"is not JSON: {error}"]) from error
    if not isinstance(change, dict):
        raise RefusedError(f"patch {stream.name}", ["a merge patch must be a JSON object"])
    return change
