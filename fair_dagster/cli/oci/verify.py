"""``oci verify``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fair_dagster.cli.oci.references import oci_of
from fair_dagster.cli.terminal.output import Column
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.watching import transferring

if TYPE_CHECKING:
    from fair_dagster.fair import Verification

_SIGNATURES = (Column("says"), Column("key"), Column("fingerprint"), Column("in", whole=True))


@click.command("verify", short_help="Check who signed an artifact.")
@click.argument("reference")
@click.option(
    "--key",
    "key_files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Public key or certificate to trust (PEM), in place of FAIR_TRUSTED_KEYS; repeatable.",
)
@click.option("--provenance", is_flag=True, help="Ask for signed provenance too, and show it.")
@click.option("--content", is_flag=True, help="Read every file from the registry, to see that none was altered.")
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Compare files that were pulled."
)
@reports
def verify(
    session: Session,
    *,
    reference: str,
    key_files: tuple[Path, ...],
    provenance: bool,
    content: bool,
    folder: Path | None,
) -> None:
    """Check every signature of the artifact REFERENCE, and fail unless a trusted key has made one of them.

    The manifest and the digests of the files are checked; the files themselves are when they are pulled, or with
    --content or --folder.
    """
    with transferring(session.out, "Reading") as progress:
        found = oci_of(session).verify(
            reference, keys=key_files, provenance=provenance, content=content, folder=folder, progress=progress
        )
    session.out.show(found.document(), lambda: _print(session, found, provenance))


def _print(session: Session, found: "Verification", provenance: bool) -> None:
    told = [("signature", one) for one in found.signatures] + [("provenance", one) for one in found.provenance]
    rows = [(says, one.key.name, one.key.fingerprint[:12], one.referrer) for says, one in told]
    session.out.table(_SIGNATURES, rows)
    if provenance:
        for one in found.provenance:
            session.out.line()
            session.out.pairs(one.summary())
    for problem in found.ignored:
        session.out.remark(f"does not count: {problem}")
    session.out.line(f"verified {found.pinned}")
