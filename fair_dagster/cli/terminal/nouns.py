"""Groups whose commands are imported when they are called or asked for their help, so that ``--help`` stays fast.

Which commands there are stands with each group.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class Noun:
    """A command and where it is defined: ``attribute`` of ``module``, and one line of help."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group that knows its commands by where they are. Subclasses name them in ``nouns``."""

    nouns: ClassVar[Mapping[str, Noun]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        noun = self.nouns.get(cmd_name)
        if noun is None:
            return None
        command: Any = getattr(importlib.import_module(f"fair_dagster.cli.{noun.module}"), noun.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{noun.module}.{noun.attribute} is no command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # As below: a line of help needs no import.
        found = [
            CompletionItem(name, help=noun.help) for name, noun in self.nouns.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every command to learn its line of help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, noun.help) for name, noun in self.nouns.items()])
