"""``oci crawl``."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.oci.references import registries_for, size_text
from fair_dagster.cli.terminal.output import Column, cell
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.watching import watched

if TYPE_CHECKING:
    from fair_dagster.oci.crawl.query import Condition, Order
    from fair_dagster.oci.crawl.walking import Event, FoundArtifact, Target, WalkFailure

_COLUMNS = (Column("artifact", whole=True), Column("name"), Column("size", right=True), Column("digest"))
_SHORT = 19
_TOLD = 20
"""Failures on stderr: a registry that refuses every one of 10,000 tags would push everything else out of sight."""

Fields = Mapping[str, Any]


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
    from fair_dagster.oci.crawl.walking import Target

    question = _question(condition, **asked)
    aims = list(dict.fromkeys(Target.parse(one) for one in targets))
    if not aims and not from_index:
        raise click.UsageError("name a registry, a repository or an artifact; without one only --from-index answers")
    if from_index and keep:
        raise click.UsageError("--index asks registries, and --from-index does not: give one of them")
    with closing(_events(session, aims, keep, from_index, hidden)) as events, watched(session.out, "Crawling") as show:
        failures = _answer(session, question, _watched(events, show))
    for failure in failures[:_TOLD]:
        session.out.remark(cell(f"{failure.where}: {failure.problem}"))
    if len(failures) > _TOLD:
        session.out.remark(f"and {len(failures) - _TOLD:,} more that could not be read; --json tells each")
    for name in question.unseen():
        session.out.remark(f"no artifact has a field {name!r}")
    if failures:
        click.get_current_context().exit(1)


@dataclass
class _Question:
    """What is asked for, and which of its fields were seen."""

    condition: "Condition | None"
    order: "Order | None"
    limit: int | None
    required: str | None
    looked_at: int = 0
    seen: set[str] = field(default_factory=set)

    @property
    def fields(self) -> tuple[str, ...]:
        names = [*(self.condition.fields if self.condition else ())]
        names += [name for name, _ in self.order.fields] if self.order else []
        return tuple(dict.fromkeys(names))

    def fits(self, fields: Fields) -> bool:
        from fair_dagster.oci.crawl.query_values import find

        self.looked_at += 1
        self.seen |= {name for name in self.fields if name not in self.seen and find(fields, name) is not None}
        if self.required is not None and find(fields, self.required) is None:
            return False
        return self.condition is None or self.condition.fits(fields)

    def unseen(self) -> list[str]:
        return [name for name in self.fields if name not in self.seen] if self.looked_at else []


def _question(
    condition: str | None, *, orders: tuple[str, ...], highest: str | None, lowest: str | None, limit: int | None
) -> _Question:
    from fair_dagster.oci.crawl.query import Condition, Order

    extreme = highest or lowest
    if (highest is not None and lowest is not None) or (extreme is not None and (orders or limit)):
        raise click.UsageError("--max and --min each ask for one artifact: give one of them, without --sort or --limit")
    texts = [f"-{highest}"] if highest else [lowest] if lowest else list(orders)
    return _Question(
        Condition.parse(condition) if condition is not None else None,
        Order.parse(texts) if texts else None,
        1 if extreme else limit,
        extreme,
    )


def _events(
    session: Session, targets: "list[Target]", keep: bool, from_index: bool, hidden: bool
) -> "Generator[Event]":
    from fair_dagster.flows.registries.crawling import artifacts_of, kept_of
    from fair_dagster.oci.references import Reference

    if from_index:
        return kept_of(session.fair.services.settings, targets)
    typed = [Reference.parse(f"{target.registry}/any") for target in targets]
    client = registries_for(session, *typed)
    return artifacts_of(session.fair.services, targets, registries=client, keep=keep, hidden=hidden)


def _watched(events: "Generator[Event]", show: Any) -> "Iterator[Event]":
    from fair_dagster.oci.crawl.walking import FoundArtifact

    done = 0
    for event in events:
        if isinstance(event, FoundArtifact):
            done += 1
            if done % 20 == 0:
                show(done, done, f"{event.reference.registry}/{event.reference.repository}")
        yield event


def _answer(session: Session, question: _Question, events: "Iterator[Event]") -> "list[WalkFailure]":
    """Print what fits; as it comes where machines read and no order was asked for."""
    from fair_dagster.oci.crawl.walking import FoundArtifact, WalkFailure

    failures: list[WalkFailure] = []

    def fitting() -> Iterator[FoundArtifact]:
        for event in events:
            if isinstance(event, WalkFailure):
                failures.append(event)
            elif isinstance(event, FoundArtifact) and question.fits(event.fields):
                yield event

    if question.order is not None:
        found = iter(question.order.first(fitting(), question.limit, lambda one: one.fields))
    else:
        found = islice(fitting(), question.limit)
    if session.out.as_json:
        for one in found:
            session.out.json_line(one.document)
        for failure in failures:
            session.out.json_line({"reference": failure.where, "error": failure.problem})
    else:
        shown = list(found)
        if question.order is None:
            # Registries list tags in no order.
            shown.sort(key=lambda one: str(one.reference))
        _table(session, question, shown)
    return failures


def _table(session: Session, question: _Question, found: "list[FoundArtifact]") -> None:
    from fair_dagster.oci.crawl.query_values import find

    asked = [name for name in question.fields if name not in {"name", "reference", "digest", "size"}]
    columns = (*_COLUMNS[:2], *(Column(name) for name in asked), *_COLUMNS[2:])
    rows = []
    for one in found:
        fields = one.fields
        values = (find(fields, name) for name in asked)
        rows.append((one.reference, fields.get("name"), *values, size_text(fields["size"]), one.digest[:_SHORT]))
    session.out.table(columns, rows)
    if not rows:
        session.out.line(f"none of {question.looked_at} artifacts fits" if question.looked_at else "no artifacts")
