"""The root command: which nouns there are, loading them on demand, and what an error prints.

A noun's module is imported when the noun is called or asked for its help, so that ``--help`` stays fast.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fair_dagster import __version__
from fair_dagster.cli.terminal.failures import explain
from fair_dagster.cli.terminal.nouns import LazyGroup, Noun
from fair_dagster.cli.terminal.output import ReaderGoneError
from fair_dagster.cli.terminal.session import Session, verbosity
from fair_dagster.cli.terminal.signals import Terminated
from fair_dagster.cli.terminal.suggestions import explain_command, explain_option

INTERRUPTED = 130
TERMINATED = 143
READER_GONE = 141
"""As of any program that SIGPIPE ends."""


NOUNS: Mapping[str, Noun] = {
    "init": Noun("start", "init", "Make the home folder, an empty catalog and the Dagster instance."),
    "base-model": Noun("base_model", "base_model", "Validate, register and look at base models."),
    "dataset": Noun("dataset", "dataset", "Describe, register and look at datasets."),
    "finetune": Noun("finetune", "finetune", "Finetune a base model on a dataset."),
    "version": Noun("version", "version", "Look at, compare, promote and delete finetuned versions."),
    "run": Noun("run", "run", "Look at runs, read their logs, stop them."),
    "predict": Noun("finetune", "predict", "Draw features on images with a model of the catalog."),
    "rerun": Noun("finetune", "rerun", "Train a version's configuration again and compare."),
    "item": Noun("item", "item", "Show and patch a STAC item."),
    "lineage": Noun("lineage", "lineage", "Where a model comes from and what came of it."),
    "catalog": Noun("catalog", "catalog", "Validate, show, reconcile and move the catalog."),
    "oci": Noun("oci.group", "oci", "Models as artifacts of container registries."),
    "demo": Noun("demo", "demo", "The whole story, from a base model to a drawn map."),
    "worker": Noun("worker", "worker", "Execute steps of other machines' runs (FAIR_EXECUTOR=celery)."),
    "stack": Noun("stack", "stack", "Apply, list and choose ZenML stacks, on which trainings run."),
    "tracking": Noun("tracking", "tracking", "What the experiment tracker has not been sent yet."),
    "ui": Noun("start", "ui", "Start the Dagster UI."),
}


class Root(LazyGroup):
    """The commands of ``fair-dagster``, and what turns their errors into messages."""

    nouns = NOUNS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise explain_option(error, self) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchCommand as error:
            raise explain_command(error, self) from error
        except click.NoSuchOption as error:
            raise explain_option(error, self) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except ReaderGoneError:
            # The interpreter flushes stdout when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(READER_GONE)
        except KeyboardInterrupt as error:
            # What the work left behind, where it is not as it was.
            click.echo("\n".join(["interrupted", *getattr(error, "__notes__", [])]), err=True)
            ctx.exit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED)
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            session = ctx.find_object(Session) or Session()
            session.output().fail(failure)
            ctx.exit(1)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="fair-dagster")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of all local state; the default is FAIR_HOME, or .fair here.",
)
@verbosity
@click.pass_context
def root(ctx: click.Context, home: Path | None) -> None:
    """Registry and pipelines for open geospatial AI models.

    A story in six commands: init, base-model register, dataset create, dataset register, finetune, version promote.
    `fair-dagster demo` tells it on data of its own.
    """
    if home is not None:
        # The environment is what the processes of runs and of the UI read as well.
        os.environ["FAIR_HOME"] = str(home.expanduser().resolve())
    if ctx.obj is None:
        ctx.obj = Session()
