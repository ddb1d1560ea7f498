"""What stands in ``deploy/``, as data: the compose file, the images, the manifests, the chart's values."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}|\$\$")


@cache
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text()))


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


@cache
def chart_values() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text()))


@cache
def manifests() -> tuple[dict[str, Any], ...]:
    """Every resource of deploy/kubernetes, kustomize's own files apart."""
    files = sorted(path for path in (DEPLOY / "kubernetes").rglob("*.yaml") if path.name != "kustomization.yaml")
    return tuple(document for path in files for document in yaml.safe_load_all(path.read_text()) if document)


def pod_templates() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each workload's name and the specification of its pods."""
    for document in manifests():
        template = document.get("spec", {}).get("template")
        if isinstance(template, dict):
            yield f"{document['kind']}/{document['metadata']['name']}", template["spec"]


def settings_of(name: str) -> dict[str, str]:
    """A ConfigMap's data."""
    found = [one for one in manifests() if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name]
    return dict(found[0]["data"])


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """A value of the compose file as Compose would fill it.

    Raises:
        KeyError: a variable without a default is missing.
    """

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        if match["kind"] == "-":
            return variables.get(match["name"]) or match["text"]
        return variables[match["name"]]

    return _VARIABLE.sub(value, text)


def variables_asked_for() -> set[str]:
    """The variables that the compose file cannot do without."""
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    return {match["name"] for match in _VARIABLE.finditer(text) if match["kind"] == "?"}


@dataclass
class Stage:
    """One target of the Dockerfile: its instructions, in order."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [text for found, text in self.instructions if found == keyword]

    def last(self, keyword: str) -> str:
        return self.all(keyword)[-1] if self.all(keyword) else ""

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for text in self.all("ENV") for word in shlex.split(text))

    @property
    def command(self) -> list[str]:
        return list(yaml.safe_load(self.last("CMD") or "[]"))


@cache
def stages() -> dict[str, Stage]:
    """The Dockerfile by target."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {}
    current = Stage("", "")
    for line in filter(None, map(str.strip, text.splitlines())):
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found.setdefault(name.strip(), Stage(name.strip(), base.strip()))
        else:
            current.instructions.append((keyword, rest.strip()))
    return found
