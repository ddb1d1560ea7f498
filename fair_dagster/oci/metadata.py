"""Metadata of a model as omlmd 0.1.6 writes it, byte for byte, and as older tools wrote it. Pure.

https://github.com/containers/omlmd. What a manifest is made of stands in ``forms``; where metadata is found in one,
in ``artifacts``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from fair_dagster.domain.errors import RefusedError

_LONGEST_YAML = 1 << 18
"""Bytes. It is read a hundred times slower than JSON, which is what registries hold."""
JSON_SUFFIX = "+json"
"""Marks an annotation whose value is JSON: annotations are strings."""


@dataclass(frozen=True)
class ModelMetadata:
    """What is said of a model beside its files. The names are those on the wire.

    Attributes:
        customProperties: anything else, as JSON.
        uri: where the model is, for an artifact that holds only metadata.
    """

    name: str | None = None
    description: str | None = None
    author: str | None = None
    customProperties: Mapping[str, Any] = field(default_factory=dict)
    uri: str | None = None
    model_format_name: str | None = None
    model_format_version: str | None = None

    @classmethod
    def of(cls, document: object, where: str = "metadata") -> Self:
        """Read a document; keys that are not its own join ``customProperties``, as with omlmd.

        Raises:
            RefusedError: it has another form, or cannot be written as JSON; every problem is named.
        """
        if not isinstance(document, Mapping):
            raise RefusedError(where, ["is no object of names and values"])
        properties = document.get("customProperties")
        problems = []
        if properties is not None and not isinstance(properties, Mapping):
            problems.append("customProperties is no object of names and values")
            properties = None
        known = {one.name for one in fields(cls)} - {"customProperties"}
        for name in sorted(known & document.keys()):
            if not isinstance(document[name], str | None):
                problems.append(f"{name} is {document[name]!r}, and has to be text")
        extra = {str(key): value for key, value in document.items() if key not in known | {"customProperties"}}
        if twice := sorted(extra.keys() & (properties or {}).keys()):
            problems.append(f"{', '.join(twice)}: given twice, in customProperties and beside it")
        custom = {**(properties or {}), **extra}
        try:
            json.dumps(custom, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            problems.append(f"customProperties cannot be written as JSON: {error}")
        if problems:
            raise RefusedError(where, problems)
        return cls(customProperties=custom, **{name: document.get(name) for name in known})

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Read JSON, or YAML.

        Raises:
            RefusedError: it is neither, has another form, or is YAML that is long or has aliases.
        """
        import yaml

        try:
            text = content.decode()
            try:
                document = json.loads(text)
            except ValueError:
                if len(content) > _LONGEST_YAML:
                    problem = f"is no JSON, and has more than the {_LONGEST_YAML:,} bytes that are read as YAML"
                    raise RefusedError(where, [problem]) from None
                document = _read_yaml(text)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise RefusedError(where, [f"is neither JSON nor YAML: {' '.join(str(error).split())}"]) from error
        return cls.of(document, where)

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str]) -> Self:
        """What the annotations of a manifest tell: keys of metadata only, as every tool sets annotations of its own."""
        found: dict[str, Any] = {}
        for one in fields(cls):
            if one.name in annotations:
                found[one.name] = annotations[one.name]
            elif text := annotations.get(one.name + JSON_SUFFIX):
                try:
                    found[one.name] = json.loads(text)
                except (ValueError, RecursionError):
                    continue
        try:
            return cls.of(found)
        except RefusedError:
            # Somebody else's annotations of the same names.
            return cls.of({name: value for name, value in found.items() if isinstance(value, str)} | _CUSTOM)

    @property
    def is_empty(self) -> bool:
        return self == ModelMetadata()

    def document(self) -> dict[str, Any]:
        """As JSON; keys in omlmd's order."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}

    def json(self) -> bytes:
        """The config of the artifact, which is a layer of it, too."""
        return json.dumps(self.document(), indent=4).encode()

    def yaml(self) -> bytes:
        """The same as YAML."""
        import yaml

        text: str = yaml.dump(self.document(), default_flow_style=False)
        return text.encode()

    def annotations(self) -> dict[str, str]:
        """The first level: text as it is, nothing for None, and ``<key>+json`` for anything else."""
        written = {}
        for name, value in self.document().items():
            if isinstance(value, str):
                written[name] = value
            elif value is not None:
                written[name + JSON_SUFFIX] = json.dumps(value)
        return written


_CUSTOM: dict[str, Any] = {"customProperties": {}}


def _read_yaml(text: str) -> Any:
    """YAML without aliases: a few lines of them, or of what they merge, make gigabytes."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("an alias is not followed: write out what it stands for")
            return super().compose_node(parent, index)

    return yaml.load(text, Loader)  # noqa: S506 - a safe loader


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
