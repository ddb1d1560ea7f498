"""``catalog``: validate, show, reconcile, export, import."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.progress import show_count
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.tables import Column
from fair_dagster.domain import items

if TYPE_CHECKING:
    from fair_dagster.domain.items.stac import Item
    from fair_dagster.domain.moving import LocalFile, Mode
    from fair_dagster.fair import CheckedItem, Moved

_COLUMNS = (
    Column("collection", whole=True),
    Column("active", right=True),
    Column("items", right=True),
    Column("active items"),
)
_DONE = {"create": "created", "update": "updated", "delete": "removed", "document": "rewritten"}
_DRIFT = (
    Column("item", whole=True),
    Column("kind"),
    Column("collection"),
    Column("detail"),
    Column("repair"),
)
_MOVED = (
    Column("collection", whole=True),
    Column("items", right=True),
    Column("created", right=True),
    Column("updated", right=True),
    Column("unchanged", right=True),
    Column("removed", right=True),
    Column("kept", right=True),
)
_LOCAL_SHOWN = 5
_merge = click.option("--merge", is_flag=True, help="Keep what only the target has; overwrite what differs.")
_replace = click.option("--replace", is_flag=True, help="Remove what only the target has; overwrite what differs.")


@click.group("catalog")
def catalog() -> None:
    """The STAC catalog as a whole."""


@catalog.command("show")
@reports
def show(session: Session) -> None:
    """Collections, how many items they hold, and which are active."""
    fair = session.fair
    found = {
        items.BASE_MODELS: fair.base_models(all_versions=True),
        items.LOCAL_MODELS: fair.local_models(all_versions=True),
        items.DATASETS: fair.datasets(all_versions=True),
    }
    where = fair.settings.catalog or str(fair.settings.catalog_path)

    def text() -> None:
        session.out.line(where)
        rows = [[name, len(_active(held)), len(held), [i["id"] for i in _active(held)]] for name, held in found.items()]
        session.out.table(_COLUMNS, rows)

    document = {
        "catalog": where,
        "collections": {
            name: [
                {"id": item["id"], "version": item["properties"].get("version"), "state": views.state(item)}
                for item in held
            ]
            for name, held in found.items()
        },
    }
    session.out.show(document, text)


def _active(found: "Sequence[Item]") -> "list[Item]":
    return [item for item in found if items.is_active(item)]


@catalog.command("validate")
@click.option("--strict", is_flag=True, help="A schema that cannot be had is a problem.")
@reports
def validate(session: Session, strict: bool) -> None:
    """Check every item: schemas, rules, links. Exit code 1 when there is a problem."""
    found = session.fair.validate_catalog(strict=strict)
    documents = {name: [asdict(finding) for finding in findings] for name, findings in found.items()}
    session.out.show(documents, lambda: _print_findings(session, found))
    if any(finding.problems for findings in found.values() for finding in findings):
        click.get_current_context().exit(1)


def _print_findings(session: Session, found: "Mapping[str, Sequence[CheckedItem]]") -> None:
    for name, findings in found.items():
        bad = [finding for finding in findings if finding.problems]
        session.out.line(f"{name}: {len(findings) - len(bad)} of {len(findings)} items are valid")
        for finding in bad:
            session.out.line(f"  {finding.item}")
            for problem in finding.problems:
                session.out.line(f"    problem: {problem}")
    # One schema that cannot be had concerns every item that declares it: named once.
    for line in sorted({line for findings in found.values() for finding in findings for line in finding.not_checked}):
        session.out.line(line)


@catalog.command("reconcile")
@click.option("--repair", is_flag=True, help="Set right what can be, and look again.")
@click.option("--all-deleted", is_flag=True, help="Let it remove all local models when ZenML has none of them.")
@click.option("--no-checksums", is_flag=True, help="Compare artifacts by their size only; reads none of them.")
@reports
def reconcile(session: Session, repair: bool, all_deleted: bool, no_checksums: bool) -> None:
    """Compare the catalog with what it should be. Exit code 1 when something differs, or remains so after a repair."""
    options = {"checksums": not no_checksums}
    done: list[dict[str, object]] = []
    with show_count(session.out, "Reconciling", "the catalog") as progress:
        if repair:
            result = session.fair.reconcile(**options, all_deleted=all_deleted, progress=progress)
            done = [asdict(one) for one in result.done]
            findings = [one.row() for one in result.remaining]
        else:
            found = session.fair.drift(**options, progress=progress)
            findings = [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]
    session.out.show({"findings": findings, "done": done}, lambda: _print_drift(session, findings, done))
    if findings:
        click.get_current_context().exit(1)


def _print_drift(
    session: Session, findings: "Sequence[Mapping[str, object]]", done: "Sequence[Mapping[str, object]]"
) -> None:
    for one in done:
        # What is done to a collection's document names the document itself.
        what = f"{one['collection']}/{one['item']}: " if one["item"] else ""
        session.out.line(f"{_DONE.get(str(one['action']), one['action'])} {what}{one['reason']}")
    if not findings:
        session.out.line("the catalog is as it should be")
        return
    rows = [{**one, "item": one["item"] or "(collection)"} for one in findings]
    session.out.table(_DRIFT, [[row[column.title] for column in _DRIFT] for row in rows])
    if not done and any(one["repair"] for one in findings):
        session.out.remark("`fair-dagster catalog reconcile --repair` does what the column repair says")


@catalog.command("export")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@_merge
@_replace
@reports
def export(session: Session, folder: Path, merge: bool, replace: bool) -> None:
    """Copy the catalog into FOLDER as JSON files, and compare. Exit code 1 when something differs.

    FOLDER must be empty, or hold nothing that the catalog does not hold equally. An export that was cut off is simply
    repeated.
    """
    with show_count(session.out, "Exporting", "reading the catalog") as progress:
        moved = session.fair.export_catalog(folder, _mode(merge, replace), progress=progress)
    _show_moved(session, moved)


@catalog.command("import")
@click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
@_merge
@_replace
@reports
def import_(session: Session, folder: Path, merge: bool, replace: bool) -> None:
    """Load the JSON catalog in FOLDER into the catalog, and compare. Exit code 1 when something differs.

    The catalog must be empty, or hold nothing that FOLDER does not hold equally. An import that was cut off is simply
    repeated. With FAIR_PGSTAC_DSN it is one transaction.
    """
    with show_count(session.out, "Importing", "reading the folder") as progress:
        moved = session.fair.import_catalog(folder, _mode(merge, replace), progress=progress)
    _show_moved(session, moved)


def _mode(merge: bool, replace: bool) -> "Mode":
    if merge and replace:
        raise click.UsageError("--merge and --replace exclude each other")
    return "merge" if merge else "replace" if replace else "empty"


def _show_moved(session: Session, moved: "Moved") -> None:
    document = asdict(moved) | {
        "equal": not moved.differences,
        "local_files": [{"item": str(one.item), "asset": one.asset, "href": one.href} for one in moved.local_files],
    }
    session.out.show(document, lambda: _print_moved(session, moved))
    if moved.differences:
        click.get_current_context().exit(1)


def _print_moved(session: Session, moved: "Moved") -> None:
    session.out.line(f"{moved.source} -> {moved.target}")
    session.out.table(_MOVED, [[getattr(one, column.title) for column in _MOVED] for one in moved.counts])
    for line in moved.differences:
        session.out.line(f"  {line}")
    count = sum(one.items for one in moved.counts)
    if moved.differences:
        session.out.line(f"compared {count} items: {len(moved.differences)} differences")
    else:
        documents = "and the documents of all collections " if moved.documents else ""
        session.out.line(f"compared {count} items {documents}as JSON: equal")
    if not moved.documents:
        session.out.line("the documents of the collections were computed from all items that are there now")
    _print_local_files(session, moved.local_files)


def _print_local_files(session: Session, found: "Sequence[LocalFile]") -> None:
    if not found:
        return
    models = len({one.item for one in found})
    session.out.remark(f"{len(found)} hrefs of {models} items are files of this machine, which nobody else can read:")
    for one in found[:_LOCAL_SHOWN]:
        session.out.remark(f"  {one.item}, {one.asset}: {one.href}")
    if len(found) > _LOCAL_SHOWN:
        session.out.remark(f"  and {len(found) - _LOCAL_SHOWN} more; --json lists all")
