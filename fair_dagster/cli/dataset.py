"""``dataset``: create, register, list, show."""

from pathlib import Path
from typing import Any

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.session import Session, reports

ITEM_FILE = "stac-item.json"


@click.group("dataset")
def dataset() -> None:
    """Datasets: chips and labels that models are finetuned on."""


@dataset.command("create", short_help="Describe chips and labels as a STAC item.")
@click.argument("slug")
@click.option("--chips", type=click.Path(path_type=Path), required=True, help="Folder of PNG or GeoTIFF chips.")
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="GeoJSON in EPSG:4326.")
@click.option(
    "--keyword",
    "keywords",
    multiple=True,
    default=("building", "semantic-segmentation", "polygon"),
    show_default=True,
    help="Feature, task and geometry type, one --keyword each.",
)
@click.option("--title")
@click.option("--description")
@click.option("--license", default="ODbL-1.0", show_default=True, help="SPDX identifier.")
@click.option("--provider", help="Who made the labels.")
@click.option("--synthetic", is_flag=True, help="Say in the item that no such place exists.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help=f"Default: {ITEM_FILE} beside the labels."
)
@click.option("--force", is_flag=True, help="Replace an item file that is there.")
@reports
def create(
    session: Session, /, *, slug: str, chips: Path, labels: Path, output: Path | None, force: bool, **said: Any
) -> None:
    """Describe chips and labels as a STAC item, for `dataset register`. The catalog is not touched."""
    from fair_dagster.domain.errors import RefusedError
    from fair_dagster.fair import DatasetSpec

    spec = DatasetSpec(slug, chips, labels, **said)
    target = output or labels.parent / ITEM_FILE
    if target.exists() and not force:
        raise RefusedError(
            f"dataset {slug!r}", [f"{target} exists already; --force replaces it, --output names another"]
        )
    written = session.fair.create_dataset(spec, target)

    def text() -> None:
        session.out.line(f"wrote {written}")
        session.out.line(f"next: fair-dagster dataset register {written}")

    session.out.show({"id": slug, "item": str(written)}, text)


@dataset.command("register", short_help="Publish the dataset of a stac-item.json.")
@click.argument("path", type=click.Path(path_type=Path))
@reports
def register(session: Session, path: Path) -> None:
    """Publish the dataset of a stac-item.json, with a checksummed copy of its chips and labels."""
    item = session.fair.register_dataset(path / ITEM_FILE if path.is_dir() else path)
    slug = item["id"]

    def text() -> None:
        session.out.line(f"registered {slug}, version {item['properties'].get('version')}")
        session.out.line(f"next: fair-dagster finetune --base-model … --dataset {slug} --name …")

    session.out.show(item, text)


@dataset.command("list")
@click.option("--all", "all_versions", is_flag=True, help="Former versions as well.")
@reports
def list_datasets(session: Session, all_versions: bool) -> None:
    """The registered datasets."""
    found = session.fair.datasets(all_versions=all_versions)
    if not found:
        session.out.remark("no dataset is registered; fair-dagster dataset create --help")
    session.out.show(found, lambda: session.out.table(views.ITEM_COLUMNS, [views.item_row(item) for item in found]))


@dataset.command("show")
@click.argument("name")
@reports
def show(session: Session, name: str) -> None:
    """One dataset."""
    item = session.fair.dataset(name)
    pairs = [*views.item_pairs(item), ("file", session.fair.href(item))]
    session.out.show(item, lambda: session.out.pairs(pairs))
