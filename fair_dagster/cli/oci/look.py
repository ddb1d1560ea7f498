"""``oci show``, ``oci list`` and ``oci referrers``."""

from typing import TYPE_CHECKING

import click

from fair_dagster.cli.oci.references import annotations_option, oci_of, size_text
from fair_dagster.cli.terminal.output import Column
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.fair import Artifact

_FILES = (Column("file"), Column("media type"), Column("size", right=True), Column("digest", whole=True))
_TAGS = (Column("tag", whole=True), Column("type"), Column("name"), Column("size", right=True), Column("digest"))
_REFERRERS = (Column("digest", whole=True), Column("type"), Column("annotations"))
_SHORT = 19
"""Of a digest in a table: ``sha256:`` and twelve digits."""


@click.command("show", short_help="What an artifact holds: files, metadata, annotations.")
@click.argument("reference")
@reports
def show(session: Session, reference: str) -> None:
    """What the artifact REFERENCE holds. An index shows what it points at."""
    found = oci_of(session).show(reference)
    session.out.show(found.document(), lambda: _print(session, found))


def _print(session: Session, found: "Artifact") -> None:
    manifest, out = found.manifest, session.out
    out.pairs(
        [
            ("reference", found.reference),
            ("digest", manifest.digest),
            ("type", manifest.artifact_type or manifest.media_type),
            ("size", size_text(found.size)),
            ("refers to", manifest.subject.digest if manifest.subject else None),
        ]
    )
    if found.metadata is not None:
        out.line()
        out.pairs([(name, value) for name, value in found.metadata.document().items() if value not in (None, {})])
    if manifest.layers:
        out.line()
        rows = [(title, one.media_type, size_text(one.size), one.digest) for title, one in found.files]
        out.table(_FILES, rows)
    if manifest.manifests:
        out.line()
        rows = [
            ("", one.artifact_type or one.media_type, size_text(one.size), one.digest) for one in manifest.manifests
        ]
        out.table(_FILES, rows)
    projected = found.metadata.annotations() if found.metadata is not None else {}
    if others := sorted(manifest.annotations.items() - projected.items()):
        out.line()
        out.pairs(others)


@click.command("list", short_help="The artifacts of a repository, or the repositories of a registry.")
@click.argument("where", metavar="REPOSITORY|REGISTRY")
@click.option("--artifact-type", help="Only artifacts of this type.")
@annotations_option("Only artifacts with this annotation; repeatable.", valueless=True)
@click.option("--all", "hidden", is_flag=True, help="Also the tags by which tools keep what refers to a manifest.")
@reports
def list_(
    session: Session, where: str, artifact_type: str | None, annotations: dict[str, str | None], hidden: bool
) -> None:
    """The tagged artifacts of a repository with their types; with a registry alone, its repositories.

    What refers to one artifact is listed by `fair-dagster oci referrers`.
    """
    if "/" not in where:
        _list_repositories(session, where)
        return
    found = oci_of(session).list(where, artifact_type=artifact_type, annotations=annotations, hidden=hidden)
    rows = []
    for one in found.artifacts:
        manifest, named = one.manifest, one.manifest.annotations.get("name")
        kind = manifest.artifact_type or manifest.media_type
        rows.append((one.reference.tag, kind, named, size_text(one.size), manifest.digest[:_SHORT]))

    def text() -> None:
        session.out.table(_TAGS, rows)
        if not rows:
            session.out.line(f"no artifacts in {where}")

    session.out.show({"artifacts": [one.document() for one in found.artifacts], "problems": dict(found.problems)}, text)
    for tag, problem in found.problems.items():
        session.out.remark(f"{tag}: {problem}")
    if found.problems:
        click.get_current_context().exit(1)


def _list_repositories(session: Session, registry: str) -> None:
    names = list(oci_of(session).repositories(registry))

    def text() -> None:
        for name in names:
            session.out.line(f"{registry}/{name}")

    session.out.show({"repositories": names}, text)


@click.command("referrers", short_help="What refers to an artifact: signatures, images, finetuned models.")
@click.argument("reference")
@click.option("--artifact-type", help="Only those of this type.")
@annotations_option("Only those with this annotation; repeatable.", valueless=True)
@reports
def referrers(session: Session, reference: str, artifact_type: str | None, annotations: dict[str, str | None]) -> None:
    """What refers to the artifact REFERENCE. The artifacts of a repository are listed by `fair-dagster oci list`."""
    oci = oci_of(session)
    found = oci.referrers(reference, artifact_type=artifact_type, annotations=annotations)

    def text() -> None:
        rows = [(one.digest, one.artifact_type or one.media_type, dict(one.annotations)) for one in found]
        session.out.table(_REFERRERS, rows)
        if not rows:
            is_any = (artifact_type or annotations) and oci.referrers(reference)
            session.out.line("none of them matches" if is_any else f"nothing refers to {reference}")

    session.out.show({"referrers": [one.document() for one in found]}, text)
