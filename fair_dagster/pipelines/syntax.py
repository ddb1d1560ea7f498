"""Reading definitions out of a Python syntax tree. What they must look like is ``contract``'s matter."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """A name at the top of a module.

    Attributes:
        line: where it stands, from 1.
        parameters: names in order, without ``*args`` and ``**kwargs``.
        required: those of them that have no default.
        takes_any: it has ``**kwargs``.
        decorators: last parts of their names, e.g. ``step`` for ``@zenml.step(...)``.
        output_type, output_name: of ``-> Annotated[<type>, "<name>"]`` or ``-> <type>``; None where absent.
        imported: it comes from another module; the rest is not known then.
    """

    name: str
    line: int
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_any: bool = False
    decorators: tuple[str, ...] = ()
    output_type: str | None = None
    output_name: str | None = None
    imported: bool = False


def definitions_of(tree: ast.Module) -> Mapping[str, Definition]:
    """Functions, names and imports at the top level of a module; a later one replaces an earlier one."""
    found: dict[str, Definition] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = _function(node)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                found[name] = Definition(name, node.lineno, imported=True)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = Definition(node.name, node.lineno)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    # An alias or a call: what it takes cannot be seen here.
                    found[target.id] = Definition(target.id, node.lineno, imported=True)
    return found


def top_level_imports(tree: ast.Module) -> set[str]:
    """First parts of the modules that are imported when this one is."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Definition:
    positional = [*node.args.posonlyargs, *node.args.args]
    without_default = positional[: len(positional) - len(node.args.defaults)]
    keyword_only = node.args.kwonlyargs
    required = [
        argument for argument, default in zip(keyword_only, node.args.kw_defaults, strict=True) if default is None
    ]
    output_type, output_name = _output(node.returns)
    return Definition(
        name=node.name,
        line=node.lineno,
        parameters=tuple(argument.arg for argument in [*positional, *keyword_only]),
        required=tuple(argument.arg for argument in [*without_default, *required]),
        takes_any=node.args.kwarg is not None,
        decorators=tuple(_last_name(decorator) for decorator in node.decorator_list),
        output_type=output_type,
        output_name=output_name,
    )


def _output(returns: ast.expr | None) -> tuple[str | None, str | None]:
    if returns is None:
        return None, None
    if isinstance(returns, ast.Constant) and isinstance(returns.value, str):
        return _quoted_output(returns.value)
    if isinstance(returns, ast.Subscript) and _last_name(returns.value) == "Annotated":
        parts = returns.slice.elts if isinstance(returns.slice, ast.Tuple) else [returns.slice]
        names = [part.value for part in parts[1:] if isinstance(part, ast.Constant)]
        name = next((name for name in names if isinstance(name, str)), None)
        return ast.unparse(parts[0]), name
    return ast.unparse(returns), None


def _quoted_output(annotation: str) -> tuple[str | None, str | None]:
    try:
        return _output(ast.parse(annotation, mode="eval").body)
    except SyntaxError:
        return annotation, None


def _last_name(node: ast.expr) -> str:
    """``step`` of ``step``, ``zenml.step`` and ``step(...)``."""
    target = node.func if isinstance(node, ast.Call) else node
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
