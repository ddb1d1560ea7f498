"""Policies in Rego, evaluated here by regopy as OPA, Gatekeeper and Conftest evaluate them elsewhere. Fails closed.

The shipped ones stand in ``rego/`` and deny what they do not know. What verifies the signatures that they ask for is
``flows.policy``. Which settings they read is told at their head.

See docs/decisions/0039.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from fair_dagster.domain.errors import RefusedError

Shipped = Literal["kserve", "artifact"]
SHIPPED: tuple[Shipped, ...] = ("kserve", "artifact")
SETTINGS = "fair_policy"
"""Where policies find their settings, below ``data``. Not below ``data.fair``, which holds the policies themselves."""

_PACKAGE = re.compile(r"^\s*package\s+([A-Za-z_][\w.]*)\s*$", re.MULTILINE)
_LARGEST = 4 << 20
_DEEPEST = 100
_MOST_VALUES = 200_000

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Policy:
    """A module of Rego whose rule ``deny`` holds the reasons against a document."""

    name: str
    source: str
    package: str

    @classmethod
    def shipped(cls, name: Shipped) -> Self:
        """One of our own."""
        return cls._of(name, files("fair_dagster.oci.trust").joinpath("rego", f"{name}.rego").read_text("utf-8"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """One of a file.

        Raises:
            RefusedError: it cannot be read, or names no package.
        """
        try:
            return cls._of(str(path), path.read_text("utf-8"))
        except OSError as error:
            raise RefusedError(str(path), [f"cannot be read: {error.strerror or error}"]) from error
        except UnicodeDecodeError as error:
            raise RefusedError(str(path), ["is no text"]) from error

    @classmethod
    def _of(cls, name: str, source: str) -> Self:
        found = _PACKAGE.search(source)
        if found is None:
            raise RefusedError(f"policy {name}", ["names no package"])
        return cls(name, source, found[1])

    def denials(self, document: Document, data: Document) -> list[str]:
        """The reasons against ``document``; none where it is allowed.

        Args:
            data: what the policy finds below ``data``.

        Raises:
            RefusedError: the policy is broken, or gives no answer: then nothing is allowed.
        """
        return [one if isinstance(one, str) else json.dumps(one) for one in self.ask("deny", document, data)]

    def ask(self, rule: str, document: Document, data: Document) -> list[Any]:
        """The members of the set ``rule``. Errors as ``denials``."""
        from regopy import Interpreter, RegoError
        from regopy.rego_shared import rego_output_string, rego_query

        interpreter = Interpreter()
        interpreter.strict_built_in_errors = True
        try:
            interpreter.add_module(self.name, self.source)
            interpreter.add_data_json(_json(data))
            # As text: strings that are handed over as values come back unescaped, and equal none of the policy.
            interpreter.set_input_term(_json(document))
            answer = rego_output_string(rego_query(interpreter._impl, f"data.{self.package}.{rule}"))
        except RegoError as error:
            raise RefusedError(f"policy {self.name}", [f"cannot be evaluated: {_first_line(error)}"]) from error
        try:
            (found,) = json.loads(answer)["expressions"]
        except (ValueError, KeyError, TypeError) as error:
            reason = f"has no rule {rule}" if answer.strip() == "undefined" else f"fails: {_first_line(answer)}"
            raise RefusedError(f"policy {self.name}", [f"{reason}, and so allows nothing"]) from error
        if not isinstance(found, list):
            raise RefusedError(f"policy {self.name}", [f"{rule} is no set of reasons, and so nothing is allowed"])
        return found


@dataclass(frozen=True)
class Resource:
    """A document of a file, and what people call it."""

    name: str
    document: Document


def read_resources(content: bytes, where: str) -> list[Resource]:
    """The resources in YAML or JSON, each of a ``List`` for itself.

    Raises:
        RefusedError: it holds none, or something else; every problem is named.
    """
    import yaml

    if len(content) > _LARGEST:
        raise RefusedError(where, [f"has {len(content):,} bytes, and at most {_LARGEST:,} are read"])
    try:
        found = [one for one in yaml.load_all(content, Loader=_loader()) if one is not None]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise RefusedError(where, [f"is neither YAML nor JSON: {' '.join(str(error).split())}"]) from error
    problems: list[str] = []
    resources = []
    for number, one in enumerate(_expanded(found), start=1):
        if problem := _problem(one):
            problems.append(f"document {number} {problem}")
        else:
            resources.append(Resource(_name(one), one))
    if problems or not resources:
        raise RefusedError(where, problems or ["holds no resource"])
    return resources


def settings_of(registries: Sequence[str], signed: Sequence[str], more: Document | None = None) -> dict[str, Any]:
    """What policies find below ``data``.

    Args:
        registries: allowed registries, or parts of them.
        signed: digests whose signature was verified.
        more: what an operator adds, below ``fair_policy`` or beside it.
    """
    data = dict(more or {})
    told = data.get(SETTINGS, {})
    if not isinstance(told, Mapping):
        raise RefusedError("data of the policy", [f"{SETTINGS} is no object of settings"])
    lists = {"registries": registries, "signed": signed}
    if wrong := [name for name in lists if not isinstance(told.get(name, []), list)]:
        raise RefusedError("data of the policy", [f"{SETTINGS}.{name} is no list" for name in wrong])
    return {**data, SETTINGS: {**told, **{name: [*told.get(name, []), *added] for name, added in lists.items()}}}


def _json(document: Document) -> str:
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RefusedError("document of the policy", [f"has no form in JSON: {error}"]) from error
    return text


def _expanded(found: Sequence[Any]) -> Iterator[Any]:
    for one in found:
        if isinstance(one, Mapping) and one.get("kind") == "List" and isinstance(one.get("items"), list):
            yield from one["items"]
        else:
            yield one


def _problem(document: Any) -> str | None:
    """Why it is no resource, or none that can be walked through in reasonable time."""
    if not isinstance(document, Mapping):
        return "is no object"
    if not isinstance(document.get("kind"), str) or not document["kind"]:
        return "has no kind"
    waiting: list[tuple[Any, int]] = [(document, 0)]
    values = 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if depth > _DEEPEST or values > _MOST_VALUES:
            return f"is nested over {_DEEPEST} deep, or has over {_MOST_VALUES:,} values"
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                return "has names that are no text"
            waiting += [(one, depth + 1) for one in (*value, *value.values())]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]
        elif isinstance(value, str) and "\0" in value:
            return "holds a NUL character"
    return None


def _name(document: Document) -> str:
    subject = document
    if document["kind"] == "AdmissionReview":
        request = document.get("request")
        inner = request.get("object") if isinstance(request, Mapping) else None
        subject = inner if isinstance(inner, Mapping) else document
    metadata = subject.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, Mapping) else None
    return f"{subject.get('kind', 'resource')}/{name or '?'}"


def _first_line(text: object) -> str:
    told = re.search(r"errormsg \d+:([^)\n]*)", str(text))
    return told[1] if told else str(text).strip().partition("\n")[0][:200]


def _loader() -> Any:
    """YAML as Kubernetes reads it: dates stay text, and no name is given twice."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            # A few lines of them grow without end before anybody could count.
            raise ValueError("fields are merged by <<, which is not followed here: write them out")
        counted = Counter(loader.construct_object(key, deep=True) for key, _ in node.value)
        twice = sorted(str(name) for name, count in counted.items() if count > 1)
        if twice:
            # Which of the two counts is another matter for another reader.
            raise ValueError(f"{', '.join(twice)} stands twice in one object")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader
