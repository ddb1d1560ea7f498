"""``version``: list, show, compare, promote, archive, delete."""

from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.cells import cell
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.tables import Column

if TYPE_CHECKING:
    import pandas as pd


@click.group("version")
def version() -> None:
    """Versions of finetuned models, named <model>-v<number>."""


@version.command("list")
@click.argument("model", required=False)
@reports
def list_versions(session: Session, model: str | None) -> None:
    """The versions of a model, or of all models."""
    models = (model,) if model else session.fair.models()
    found = [record for name in models for record in session.fair.versions(name)]
    if not found:
        session.out.remark("there is no version; fair-dagster finetune --help")
    rows = [views.version_row(record) for record in found]
    documents = [views.version_document(record) for record in found]
    session.out.show(documents, lambda: session.out.table(views.VERSION_COLUMNS, rows))


@version.command("show")
@click.argument("version_id")
@reports
def show(session: Session, version_id: str) -> None:
    """One version: parents, metrics, stage, runs."""
    record = session.fair.version(version_id)
    session.out.show(views.version_document(record), lambda: session.out.pairs(views.version_pairs(record)))


@version.command("compare")
@click.argument("version_ids", metavar="VERSION_ID VERSION_ID...", nargs=-1, required=True)
@reports
def compare(session: Session, version_ids: tuple[str, ...]) -> None:
    """Versions side by side: stage, parents, hyperparameters, metrics."""
    if len(version_ids) < 2:
        raise click.UsageError("name at least two versions")
    if repeated := sorted({name for name in version_ids if version_ids.count(name) > 1}):
        raise click.UsageError(f"{', '.join(repeated)} was named twice")
    records = _records(session.fair.compare(version_ids))
    session.out.show(records, lambda: _print_comparison(session, records))


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """A document a version. pandas writes NaN where a version has no such value: None here."""
    present = frame.astype(object).where(frame.notna(), None).reset_index()
    return [{str(field): value for field, value in row.items()} for row in present.to_dict("records")]


def _print_comparison(session: Session, records: list[dict[str, Any]]) -> None:
    fields = [field for field in records[0] if field != "version"]
    columns = [Column(""), *(Column(record["version"], whole=True, right=True) for record in records)]
    rows = [[field, *(cell(record[field]) for record in records)] for field in fields]
    if session.out.fits(columns, rows):
        session.out.table(columns, rows)
        return
    for record in records:
        session.out.line(record["version"])
        session.out.pairs([(field, record[field]) for field in fields], indent=2)


@version.command("promote", short_help="Put a version into production.")
@click.argument("version_id")
@reports
def promote(session: Session, version_id: str) -> None:
    """Put a version into production and publish it; the former production version is deprecated."""
    item = session.fair.promote(version_id)
    name = item["properties"].get("mlm:name", item["id"])

    def text() -> None:
        session.out.line(f"promoted {item['id']}: {session.fair.href(item)}")
        session.out.hint(f"fair-dagster predict {name} --images …")

    session.out.show(item, text)


@version.command("archive", short_help="Take a version out of use.")
@click.argument("version_id")
@reports
def archive(session: Session, version_id: str) -> None:
    """Take a version out of use; its item, when it has one, is deprecated."""
    record = session.fair.archive(version_id)
    session.out.show(views.version_document(record), lambda: session.out.line(f"archived {record.id}"))


@version.command("delete", short_help="Delete a version with what was published.")
@click.argument("version_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reports
def delete(session: Session, version_id: str, yes: bool) -> None:
    """Delete a version: from ZenML, with its item and published files, and its partition in Dagster."""
    if not yes:
        if not session.interactive:
            raise click.UsageError("nobody can be asked here; add --yes to delete it")
        record = session.fair.version(version_id)
        question = f"Delete {record.id} ({record.stage}) with its item and files? This cannot be undone."
        click.confirm(question, abort=True, err=True)
    session.fair.delete(version_id)
    session.out.show({"deleted": version_id}, lambda: session.out.line(f"deleted {version_id}"))
