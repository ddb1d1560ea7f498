"""Stack files: what a ZenML stack is made of, as YAML in the form of ``zenml stack export``, without secrets in it.

Values name variables of the environment (``${NAME}``, ``${NAME:-default}``) and ZenML's secrets (``{{name.key}}``). A
section ``secrets`` says from which variables the secrets are filled. Reading is all; ZenML is asked elsewhere.

See docs/decisions/0027.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.urls import has_credentials

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SECRET = re.compile(r"\{\{\s*(?P<name>[^.{}\s]+)\.(?P<key>[^{}\s]+)\s*\}\}")
_TYPES = frozenset({"experiment_tracker", "alerter", "step_operator", "data_validator", "annotator", "model_deployer"})
COMPONENT_TYPES = _TYPES | {"orchestrator", "artifact_store", "container_registry", "image_builder"}
_REQUIRED = ("orchestrator", "artifact_store")
_ENTRIES = frozenset({"stack_name", "zenml_version", "components", "secrets"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Component:
    """One component of a stack.

    Attributes:
        type: ZenML's word, e.g. ``artifact_store``.
        configuration: as the flavor takes it; variables are filled in, and what came out empty is left out.
    """

    type: str
    name: str
    flavor: str
    configuration: Mapping[str, Any]

    @property
    def secrets(self) -> list[tuple[str, str]]:
        """Names and keys of the secrets that the configuration refers to."""
        texts = [text for value in self.configuration.values() for text in _texts(value)]
        return [(found["name"], found["key"]) for text in texts for found in _SECRET.finditer(text)]


@dataclass(frozen=True)
class StackFile:
    """A stack, and the values of its secrets that the environment names."""

    name: str
    components: tuple[Component, ...]
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


def read_stack_file(path: Path, environment: Mapping[str, str]) -> StackFile:
    """Read a stack file.

    Raises:
        RefusedError: it cannot be read, has another form, or names variables that are not set; all problems at once.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(str(path), [f"cannot be read: {error}"]) from error
    except yaml.YAMLError as error:
        # What stands around the mark may be a secret after all.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise RefusedError(str(path), [f"is not YAML{where}"]) from error
    if problems := _form_problems(document):
        raise RefusedError(str(path), problems)
    unset: list[str] = []
    filled = _fill(document, environment, unset, "")
    if unset:
        raise RefusedError(str(path), unset)
    components = tuple(
        Component(kind, str(one["name"]), str(one["flavor"]), _without_empty(one.get("configuration") or {}))
        for kind, one in filled["components"].items()
    )
    if problems := [problem for component in components for problem in _open_secrets(component)]:
        raise RefusedError(str(path), problems)
    secrets = {name: _without_empty(values) for name, values in (filled.get("secrets") or {}).items()}
    return StackFile(str(filled["stack_name"]), components, secrets)


def _form_problems(document: Any) -> list[str]:
    if not isinstance(document, dict):
        return ["is not a stack: it must have stack_name and components"]
    problems = [f"{name!r} is no part of a stack file" for name in document if name not in _ENTRIES]
    if not isinstance(document.get("stack_name"), str) or not _NAME.fullmatch(document["stack_name"]):
        problems.append("stack_name must be a name")
    components = document.get("components")
    if not isinstance(components, dict):
        return [*problems, "components must name an orchestrator and an artifact_store"]
    problems += [f"components: there is no {kind}" for kind in _REQUIRED if kind not in components]
    for kind, component in components.items():
        problems += _component_problems(str(kind), component)
    for name, values in _entries(document.get("secrets")):
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            problems.append(f"secrets.{name} must name a variable of the environment for each key")
            continue
        for key, value in values.items():
            # A default would be the secret itself.
            found = _VARIABLE.fullmatch(value)
            if found is None or found["default"]:
                problems.append(f"secrets.{name}.{key} must be a variable like ${{NAME:-}}: no secret stands in a file")
    return problems


def _component_problems(kind: str, component: Any) -> list[str]:
    where = f"components.{kind}"
    if kind not in COMPONENT_TYPES:
        return [f"{where}: ZenML has no such component; there are {', '.join(sorted(COMPONENT_TYPES))}"]
    if not isinstance(component, dict):
        return [f"{where} must be an object with name, flavor and configuration"]
    problems = [
        f"{where}.{name} must be a name"
        for name in ("name", "flavor")
        if not isinstance(component.get(name), str) or not _NAME.fullmatch(component[name])
    ]
    if component.get("type", kind) != kind:
        problems.append(f"{where}.type must be {kind!r}")
    if not isinstance(component.get("configuration") or {}, dict):
        problems.append(f"{where}.configuration must be an object")
    return problems


def _open_secrets(component: Component) -> list[str]:
    """ZenML shows a configuration to everybody who may see the stack."""
    return [
        f"components.{component.type}.configuration.{name} is a URL with a user name or password: give it without, and "
        "name them as {{secret.key}}"
        for name, value in component.configuration.items()
        if any(has_credentials(text) for text in _texts(value))
    ]


def _entries(section: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(section, dict):
        yield from ((str(name), values) for name, values in section.items())
    elif section is not None:
        yield "", None


def _fill(value: Any, environment: Mapping[str, str], unset: list[str], where: str) -> Any:
    """``value`` with the variables of its texts filled in; what is not set is added to ``unset``."""
    if isinstance(value, dict):
        return {key: _fill(inner, environment, unset, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, environment, unset, f"{where}[{n}]") for n, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def content(found: re.Match[str]) -> str:
        # As in a shell, `:-` stands for a variable that is empty, too.
        set_to = environment.get(found["name"]) or found["default"]
        if set_to is None:
            unset.append(f"{where.lstrip('.')}: the variable {found['name']} is not set")
        return set_to or ""

    return _VARIABLE.sub(content, value)


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in ("", None, {})}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
