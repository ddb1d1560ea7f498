"""What somebody meant who mistyped a command or an option. Nothing is printed here."""

from collections.abc import Iterator
from difflib import get_close_matches

import click


def explain_command(error: click.NoSuchCommand, root: click.Group) -> click.NoSuchCommand:
    """The error with the commands that may have been meant, of the same group or of another.

    ``vesion`` is like ``version`` beside it; ``promote`` is the last word of ``version promote``.
    """
    typed, context = error.command_name, error.ctx
    group = context.command if context is not None else root
    beside = group.list_commands(context) if isinstance(group, click.Group) and context is not None else []
    meant = get_close_matches(typed, beside)
    if not meant:
        paths = list(_paths(root, click.Context(root)))
        last = {path: path.rpartition(" ")[2] for path in paths}
        words = get_close_matches(typed, set(last.values()), cutoff=0.75)
        program = "" if context is None or group is root else f"{context.find_root().info_name} "
        meant = [f"{program}{path}" for path in paths if last[path] in words]
    advice = f" Did you mean {_either(meant)}?" if meant else ""
    return click.NoSuchCommand(typed, f"{error.message}{advice}", ctx=context)


def explain_option(error: click.NoSuchOption, root: click.Group) -> click.NoSuchOption:
    """The error with the place of the option, where it is known but stands at the wrong one."""
    context = error.ctx
    if context is None:
        return error
    if context.command is not root and error.option_name in _options(root):
        advice = f"It stands before the command: {context.find_root().info_name} {error.option_name} …"
    elif isinstance(context.command, click.Group) and error.option_name == "--json":
        advice = f"It stands after the command: {context.command_path} … {error.option_name}"
    else:
        return error
    return click.NoSuchOption(error.option_name, f"{error.message} {advice}", ctx=context)


def _paths(group: click.Group, context: click.Context) -> Iterator[str]:
    """Every command below ``group``, as one types it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield name
        if isinstance(command, click.Group):
            below = click.Context(command, info_name=name, parent=context)
            yield from (f"{name} {path}" for path in _paths(command, below))


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def _either(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
