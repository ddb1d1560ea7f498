"""``oci image``."""

from typing import TYPE_CHECKING, Literal

import click

from fair_dagster.cli.oci.references import oci_of, size_text
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.watching import transferring

if TYPE_CHECKING:
    from fair_dagster.fair import Built


@click.command("image", short_help="Make an image of a model: for KServe, or for image volumes of Kubernetes.")
@click.argument("reference")
@click.option("--to", "target", metavar="REFERENCE", help="Where it goes; <tag>-<kind> beside the model without.")
@click.option("--kind", type=click.Choice(["modelcar", "data"]), default="modelcar", help="modelcar without.")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="E.g. linux/arm64; repeatable. linux/amd64 without.",
)
@click.option(
    "--base", help="Base of a modelcar: an image, or the path of a static BusyBox; FAIR_MODELCAR_BASE without."
)
@click.option("--user", help="Whom a modelcar runs as, e.g. 1000:0; nobody in particular without.")
@reports
def image(  # noqa: PLR0917
    session: Session,
    reference: str,
    target: str | None,
    kind: Literal["modelcar", "data"],
    platforms: tuple[str, ...],
    base: str | None,
    user: str | None,
) -> None:
    """Make an image of the model REFERENCE, its files below /models, which refers to the model.

    A modelcar is for KServe's oci:// storage; a data image holds nothing but the files, for image volumes. The same
    model and base give the same digest. Nothing is laid down here: files stream from registry to registry.
    """
    if kind == "data" and (base or user):
        raise click.UsageError("a data image holds nothing that runs: --base and --user are for a modelcar")
    with transferring(session.out, "Building") as progress:
        done = oci_of(session).image(
            reference,
            target,
            kind=kind,
            platforms=platforms or ("linux/amd64",),
            base=base,
            user=user,
            progress=progress,
        )
    _show(session, done)


def _show(session: Session, done: "Built") -> None:
    document = {
        "reference": str(done.reference),
        "digest": done.digest,
        "pinned": str(done.pinned),
        "model": str(done.model),
        "platforms": {str(platform): one.digest for platform, one in done.manifests.items()},
        "size": done.size,
    }

    def text() -> None:
        session.out.line(f"built {done.reference}")
        rows = [("digest", done.digest), ("model", done.model), ("model's layers", size_text(done.size))]
        if len(done.manifests) > 1:
            rows += [(str(platform), one.digest) for platform, one in done.manifests.items()]
        session.out.pairs(rows)

    session.out.show(document, text)
