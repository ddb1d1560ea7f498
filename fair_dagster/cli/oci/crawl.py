"""``oci crawl``."""

from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.oci.references import oci_of, size_text
from fair_dagster.cli.terminal.output import Column, cell
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.watching import watched

if TYPE_CHECKING:
    from fair_dagster.fair import Crawl, FoundArtifact

_COLUMNS = (Column("artifact", whole=True), Column("name"), Column("size", right=True), Column("digest"))
_SHORT = 19
_TOLD = 20
"""Failures on stderr: a registry that refuses every one of 10,000 tags would push everything else out of sight."""


@click.command("crawl", short_help="Look through registries, and ask for models by their metadata.")
@click.argument("targets", nargs=-1, metavar="[REGISTRY|REPOSITORY|REFERENCE]...")
@click.option(
    "--filter", "condition", metavar="CQL2", help="E.g. \"customProperties.accuracy > 0.9 AND author = 'HOT'\"."
)
@click.option("--sort", "orders", multiple=True, metavar="FIELD", help="Ascending; -FIELD descending. Repeatable.")
@click.option("--max", "highest", metavar="FIELD", help="Only the one with the highest value.")
@click.option("--min", "lowest", metavar="FIELD", help="Only the one with the lowest value.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--index", "keep", is_flag=True, help="Keep what is found, and ask only for what has changed since.")
@click.option("--from-index", is_flag=True, help="Answer from what was kept; no registry is asked.")
@click.option("--all", "hidden", is_flag=True, help="Also the tags by which tools keep what refers to a manifest.")
@reports
def crawl(  # noqa: PLR0917
    session: Session,
    /,
    targets: tuple[str, ...],
    condition: str | None,
    keep: bool,
    from_index: bool,
    hidden: bool,
    **asked: Any,
) -> None:
    """Look through registries, repositories and artifacts: every tag with its metadata, several at once.

    Fields are those of the metadata (name, author, customProperties.accuracy ...) and of the artifact: registry,
    repository, tag, digest, artifact_type, size, subject, annotations.KEY. What holds more than letters, digits, dots
    and _ is written in double quotes. With --json each artifact is a line. What cannot be read is told, and the rest
    goes on; the command ends with 1 then.
    """
    if not targets and not from_index:
        raise click.UsageError("name a registry, a repository or an artifact; without one only --from-index answers")
    if from_index and keep:
        raise click.UsageError("--index asks registries, and --from-index does not: give one of them")
    question = _question(**asked) | {"condition": condition, "keep": keep, "from_index": from_index, "hidden": hidden}
    with (
        watched(session.out, "Crawling") as show,
        oci_of(session).crawl(*targets, progress=show, **question) as crawled,
    ):
        _answer(session, crawled)
    failures = crawled.failures
    for failure in failures[:_TOLD]:
        session.out.remark(cell(f"{failure.where}: {failure.problem}"))
    if len(failures) > _TOLD:
        session.out.remark(f"and {len(failures) - _TOLD:,} more that could not be read; --json tells each")
    for name in crawled.unseen():
        session.out.remark(f"no artifact has a field {name!r}")
    if failures:
        click.get_current_context().exit(1)


def _question(*, orders: tuple[str, ...], highest: str | None, lowest: str | None, limit: int | None) -> dict[str, Any]:
    extreme = highest or lowest
    if (highest is not None and lowest is not None) or (extreme is not None and (orders or limit)):
        raise click.UsageError("--max and --min each ask for one artifact: give one of them, without --sort or --limit")
    return {"order": orders, "highest": highest, "lowest": lowest, "limit": limit}


def _answer(session: Session, crawled: "Crawl") -> None:
    """Print what fits; as it comes where machines read and no order was asked for."""
    if session.out.as_json:
        for one in crawled:
            session.out.json_line(one.document)
        for failure in crawled.failures:
            session.out.json_line({"reference": failure.where, "error": failure.problem})
        return
    shown = list(crawled)
    if not crawled.is_ordered:
        # Registries list tags in no order.
        shown.sort(key=lambda one: str(one.reference))
    _table(session, crawled, shown)


def _table(session: Session, crawled: "Crawl", found: "list[FoundArtifact]") -> None:
    asked = [name for name in crawled.fields if name not in {"name", "reference", "digest", "size"}]
    columns = (*_COLUMNS[:2], *(Column(name) for name in asked), *_COLUMNS[2:])
    rows = []
    for one in found:
        fields = one.fields
        values = (one.field(name) for name in asked)
        rows.append((one.reference, fields.get("name"), *values, size_text(fields["size"]), one.digest[:_SHORT]))
    session.out.table(columns, rows)
    if not rows:
        session.out.line(f"none of {crawled.looked_at} artifacts fits" if crawled.looked_at else "no artifacts")
