"""``base-model``: validate, register, list, show."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.fair import Validation


@click.group("base-model")
def base_model() -> None:
    """Base models: folders under models/ that finetunes start from."""


@base_model.command("validate")
@click.argument("names", metavar="NAME|PATH...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="A schema that cannot be had is a problem.")
@reports
def validate(session: Session, names: tuple[str, ...], strict: bool) -> None:
    """List everything that is wrong with base model folders. Exit code 1 when there is a problem."""
    found = [session.fair.validate_base_model(name, strict=strict) for name in names]
    documents = [asdict(validation) | {"ok": validation.ok} for validation in found]

    def text() -> None:
        for validation in found:
            _print_validation(session, validation)

    session.out.show(documents, text)
    if not all(validation.ok for validation in found):
        click.get_current_context().exit(1)


def _print_validation(session: Session, found: "Validation") -> None:
    verdict = "valid" if found.ok else f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''}"
    session.out.line(f"{found.subject}: {verdict}")
    for problem in found.problems:
        session.out.line(f"  problem: {problem}")
    for warning in found.warnings:
        session.out.line(f"  warning: {warning}")
    # These sentences say themselves that something was not checked.
    for line in found.not_checked:
        session.out.line(f"  {line}")


@base_model.command("register", short_help="Publish base model folders.")
@click.argument("names", metavar="[NAME|PATH]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every folder under models/.")
@click.option("--strict", is_flag=True, help="Refuse what cannot be checked: schemas, images to be pinned.")
@reports
def register(session: Session, names: tuple[str, ...], everything: bool, strict: bool) -> None:
    """Publish base model folders as the active versions of their names.

    With several, those that are valid are registered, and the others are refused together at the end.
    """
    from fair_dagster.domain.errors import ProblemsError, RefusedError
    from fair_dagster.domain.items.images import unpinned_images

    if bool(names) == everything:
        raise click.UsageError("name base models, or give --all")
    registered, refused = [], []
    for name in _known_folders(session) if everything else names:
        try:
            item = session.fair.register_base_model(name, strict=strict)
        except ProblemsError as error:
            refused.append(error)
            continue
        registered.append(item)
        session.out.line(f"registered {item['id']}, version {item['properties'].get('version')}")
        for image in unpinned_images(item).values():
            session.out.remark(f"warning: image {image} is not pinned to a digest; `catalog reconcile` says why")
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise RefusedError(
            "registration", [f"{error.subject}: {problem}" for error in refused for problem in error.problems]
        )
    session.out.show(
        registered, lambda: session.out.line("next: fair-dagster dataset create SLUG --chips … --labels …")
    )


@base_model.command("sync", short_help="Follow the branch of FAIR_MODELS_REPO.")
@reports
def sync(session: Session) -> None:
    """Fetch the branch and bring every base model in step with it; what the merges sensor does by itself.

    Changed folders are registered, removed ones retired. Those that are not valid are refused together at the end.
    """
    from fair_dagster.domain.errors import RefusedError

    followed = session.fair.sync_base_models()
    documents = [
        {
            "folder": found.merge.folder,
            "base_model": found.merge.slug,
            "commit": found.merge.commit.sha,
            "subject": found.merge.commit.subject,
            "result": found.result,
            "problems": list(found.problems),
        }
        for found in followed
    ]
    refused = [found for found in followed if found.problems]
    if not refused or not session.as_json:
        session.out.show(documents, lambda: session.out.table(views.SYNC_COLUMNS, views.sync_rows(followed)))
    if not followed:
        session.out.remark("every base model is in step with the branch")
    if refused:
        problems = [f"models/{found.merge.folder}: {problem}" for found in refused for problem in found.problems]
        raise RefusedError("bringing base models in step", problems)


def _known_folders(session: Session) -> list[str]:
    from fair_dagster.domain.errors import NotFoundError

    settings = session.fair.settings
    found = [str(folder) for folder in session.fair.base_model_folders()]
    if not found:
        advice = "; `fair-dagster base-model sync` fetches the branch" if settings.follows_branch else ""
        raise NotFoundError("base models", [f"there is no base model folder in {settings.models}{advice}"])
    return found


@base_model.command("list")
@click.option("--all", "all_versions", is_flag=True, help="Former versions as well.")
@reports
def list_models(session: Session, all_versions: bool) -> None:
    """The registered base models."""
    found = session.fair.base_models(all_versions=all_versions)
    if not found:
        session.out.remark("no base model is registered; fair-dagster base-model register --all")
    session.out.show(found, lambda: session.out.table(views.ITEM_COLUMNS, [views.item_row(item) for item in found]))


@base_model.command("show")
@click.argument("name")
@reports
def show(session: Session, name: str) -> None:
    """A base model with the hyperparameters that a finetune can set."""
    item = session.fair.base_model(name)

    def text() -> None:
        session.out.pairs([*views.item_pairs(item), ("file", session.fair.href(item))])
        session.out.line()
        session.out.table(views.HYPERPARAMETER_COLUMNS, views.hyperparameter_rows(item))

    session.out.show(item, text)
