"""``oci push``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fair_dagster.cli.oci.references import annotations_option, oci_of, size_text
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.values import set_option
from fair_dagster.cli.terminal.watching import transferring

if TYPE_CHECKING:
    from fair_dagster.fair import ModelMetadata, Pushed

_TEXTS = ("name", "description", "author", "uri", "model_format_name", "model_format_version")


@click.command("push", short_help="Push files, a folder, metadata alone, or a model of the catalog.")
@click.argument("reference")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--item", help="Push a model of the catalog, by id or name: weights, ONNX, item, card, configuration.")
@click.option("--metadata", type=click.File("rb"), help="Metadata as JSON or YAML; - is stdin.")
@click.option("--name", help="Name of the model.")
@click.option("--description", help="What it is for.")
@click.option("--author", help="Who made it.")
@click.option("--uri", help="Where the model is, when only metadata is pushed.")
@click.option("--model-format-name", help="E.g. onnx.")
@click.option("--model-format-version", help="E.g. 1.")
@set_option("A custom property, e.g. --set accuracy=0.93.")
@annotations_option("An annotation of the manifest.")
@click.option("--form", type=click.Choice(["omlmd", "fair", "modelpack"]), help="omlmd for a single file, else fair.")
@click.option("--artifact-type", help="What kind of artifact it is, e.g. application/vnd.acme.model.")
@click.option("--media-type", help="Media type of the files; application/x-mlmodel without.")
@click.option("--subject", help="A reference in the same repository that this artifact refers to.")
@reports
def push(  # noqa: PLR0917
    session: Session,
    /,
    reference: str,
    paths: tuple[Path, ...],
    item: str | None,
    metadata: Any,
    overrides: dict[str, Any],
    annotations: dict[str, str],
    form: Literal["omlmd", "fair", "modelpack"] | None,
    artifact_type: str | None,
    media_type: str | None,
    subject: str | None,
    **texts: str | None,
) -> None:
    """Push a model to REFERENCE: files, folders (each file under its path), metadata with an --uri, or an --item.

    A single file with metadata is what `omlmd push` makes of it, to the byte. What the registry has is not sent again.
    """
    given = _metadata(metadata, texts, overrides)
    if item is not None and (paths or given is not None):
        raise click.UsageError("--item takes files and metadata from the catalog: give neither")
    with transferring(session.out, "Pushing") as progress:
        done = oci_of(session).push(
            reference,
            paths,
            item=item,
            metadata=given,
            form=form,
            artifact_type=artifact_type,
            media_type=media_type,
            annotations=annotations,
            subject=subject,
            progress=progress,
        )
    _show(session, done)


def _metadata(stream: Any, texts: dict[str, str | None], overrides: dict[str, Any]) -> "ModelMetadata | None":
    """What was given of metadata; None for nothing, so that a metadata file among the files counts."""
    from fair_dagster.fair import ModelMetadata

    given = {name: value for name, value in texts.items() if value is not None}
    if stream is None and not given and not overrides:
        return None
    read = (
        ModelMetadata.parse(stream.read(), f"metadata {getattr(stream, 'name', '-')}")
        if stream is not None
        else ModelMetadata()
    )
    document = read.document() | given
    document["customProperties"] = {**read.customProperties, **overrides}
    return ModelMetadata.of(document)


def _show(session: Session, done: "Pushed") -> None:
    document = {
        "reference": str(done.reference),
        "digest": done.digest,
        "pinned": str(done.pinned),
        "uploaded": done.uploaded,
        "reused": done.reused,
    }

    def text() -> None:
        session.out.line(f"pushed {done.reference}")
        session.out.pairs(
            [
                ("digest", done.digest),
                ("sent", size_text(done.uploaded)),
                ("there already", size_text(done.reused) if done.reused else None),
            ],
            indent=2,
        )

    session.out.show(document, text)
