"""``oci pull`` and ``oci copy``."""

from pathlib import Path

import click

from fair_dagster.cli.oci.references import oci_of, size_text
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.watching import transferring


@click.command("pull", short_help="Lay the files of an artifact below a folder, verified.")
@click.argument("reference")
@click.option(
    "--output", "-o", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder."
)
@click.option("--media-type", "-m", "media_types", multiple=True, help="Only files of this media type; repeatable.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there and differ.")
@click.option("--unpack", is_flag=True, help="Lay down archives as the folders that oras or omlmd packed into them.")
@reports
def pull(  # noqa: PLR0917
    session: Session, reference: str, folder: Path, media_types: tuple[str, ...], overwrite: bool, unpack: bool
) -> None:
    """Lay the files of the artifact REFERENCE below a folder, here by default. All of them arrive whole, or none.

    Files that are there already are not fetched again. A pull that was cut off is simply repeated: it goes on.
    """
    with transferring(session.out, "Pulling") as progress:
        done = oci_of(session).pull(
            reference, folder, media_types=media_types, overwrite=overwrite, unpack=unpack, progress=progress
        )
    document = {
        "reference": reference,
        "digest": done.digest,
        "files": [str(path) for path in done.files],
        "kept": [str(path) for path in done.kept],
    }

    def text() -> None:
        for path in done.files:
            session.out.line(f"{path}{' (was there)' if path in done.kept else ''}")
        session.out.line(f"pulled {done.artifact.pinned}")

    session.out.show(document, text)


@click.command("copy", short_help="Copy an artifact to another repository or registry.")
@click.argument("source")
@click.argument("target")
@click.option("--referrers", is_flag=True, help="Also what refers to it: signatures, attestations, images.")
@reports
def copy(session: Session, source: str, target: str, referrers: bool) -> None:
    """Copy the artifact, image or index SOURCE to TARGET. Its digest stays, and nothing is laid down here."""
    with transferring(session.out, "Copying") as progress:
        done = oci_of(session).copy(source, target, referrers=referrers, progress=progress)
    document = {
        "source": str(done.source),
        "target": str(done.target),
        "digest": done.digest,
        "manifests": done.manifests,
        "uploaded": done.uploaded,
        "reused": done.reused,
    }

    def text() -> None:
        session.out.line(f"copied {done.source} to {done.target}")
        session.out.pairs(
            [
                ("digest", done.digest),
                ("manifests", len(done.manifests)),
                ("sent", size_text(done.uploaded)),
                ("there already", size_text(done.reused) if done.reused else None),
            ],
            indent=2,
        )

    session.out.show(document, text)
