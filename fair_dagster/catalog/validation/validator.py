"""Whether an item is valid: core STAC, our schemas, the extensions that it declares, and the rules of the
domain.

Says everything that is wrong at once. Where schemas come from is ``schema_cache``; how an error reads,
``problems``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft7Validator, FormatChecker
from jsonschema.protocols import Validator as CompiledSchema
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

from fair_dagster.catalog.validation.problems import lines_of
from fair_dagster.catalog.validation.schema_cache import STAC_HOST, MissingSchemaError, SchemaCache
from fair_dagster.catalog.validation.schemas import Kind, is_own, own_schemas, vocabulary
from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items import rules as item_rules
from fair_dagster.domain.items.migrations import schema_version
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.items.vocabulary import Vocabulary
from fair_dagster.settings import Settings

_STAC_VERSION = "1.1.0"
_CORE = f"https://schemas.stacspec.org/v{_STAC_VERSION}/item-spec/json-schema/item.json"

Rules = Callable[[Item, Vocabulary], list[str]]
_RULES: dict[Kind, tuple[Rules, Rules]] = {
    "base-model": (item_rules.base_model_problems, item_rules.model_warnings),
    "local-model": (item_rules.local_model_problems, item_rules.local_model_warnings),
    "dataset": (item_rules.dataset_problems, item_rules.dataset_warnings),
}


@dataclass(frozen=True)
class ValidationReport:
    """One sentence an entry. ``not_checked`` names the schemas that could not be had, with the reason."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.problems


KINDS: dict[str, Kind] = {
    items.BASE_MODELS: "base-model",
    items.LOCAL_MODELS: "local-model",
    items.DATASETS: "dataset",
}
"""What the items of each collection are."""


class Validator:
    """Validates items. Keeps compiled schemas, so make one and use it often."""

    def __init__(self, settings: Settings, *, cache: SchemaCache | None = None) -> None:
        self._cache = cache or SchemaCache(settings.schema_cache_path, offline=settings.offline)
        self._compiled: dict[str, CompiledSchema | MissingSchemaError] = {}

    def require(self, item: Item) -> None:
        """Make sure that an item may be written.

        Raises:
            RefusedError: it breaks its schemas or our rules; every problem is named.
        """
        if problems := self.validate(item, kind=KINDS[item["collection"]]).problems:
            raise RefusedError(f"item {item['id']!r}", problems)

    def validate(self, item: Item, *, kind: Kind, strict: bool = False) -> ValidationReport:
        """Validate ``item``, which may be a contributor's file or an item from a store.

        Args:
            item: STAC Item JSON; links may be spelled ``catalog://`` and structural links may be missing. It is
                held against the version of our schemas that it says it follows, or the first one.
            kind: what the item is meant to be.
            strict: count schemas that could not be had as problems.
        """
        subject, warnings = _as_checked(item)
        own = items.schema_uri(kind, schema_version(subject))
        problems = self._errors(_CORE, subject)
        problems += self._errors(own, subject) if own in own_schemas() else [_unknown_version(subject, kind)]
        not_checked = []
        for uri in _extensions(subject):
            if uri == own:
                continue
            try:
                found = self._errors(uri, subject)
            except MissingSchemaError as error:
                not_checked.append(f"extension not checked: {error}")
                continue
            if _counts(uri):
                problems += found
            else:
                warnings += [f"{line} (says {uri})" for line in found]
        rules, remarks = _RULES[kind]
        problems += rules(subject, self._vocabulary)
        warnings += remarks(subject, self._vocabulary)
        if strict:
            problems += not_checked
        return ValidationReport(_once(problems), _once(warnings), _once(not_checked))

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return vocabulary()

    def _errors(self, uri: str, item: Item) -> list[str]:
        """What the schema at ``uri`` says against ``item``; raises ``MissingSchemaError``."""
        try:
            return lines_of(self._validator(uri).iter_errors(item))
        except Unresolvable as error:
            raise MissingSchemaError(f"{uri}: it refers to {error}, which is not there") from error

    def _validator(self, uri: str) -> CompiledSchema:
        if uri not in self._compiled:
            try:
                self._compiled[uri] = self._compile(uri)
            except MissingSchemaError as error:
                self._compiled[uri] = error
        found = self._compiled[uri]
        if isinstance(found, MissingSchemaError):
            raise found
        return found

    def _compile(self, uri: str) -> CompiledSchema:
        schemas = self._cache.closure(uri)
        resources = [
            (address, Resource.from_contents(schema, default_specification=DRAFT7))
            for address, schema in schemas.items()
        ]
        registry: Registry[Any] = Registry().with_resources(resources).crawl()
        schema = self._cache.get(uri)
        compiler = validator_for(schema, default=Draft7Validator)
        return compiler(schema, registry=registry, format_checker=_formats())


def _unknown_version(item: Item, kind: Kind) -> str:
    return (
        f"properties.fair:schema_version: there is no version {schema_version(item)!r} of the schema for a {kind}; "
        f"the newest that this release knows is {items.SCHEMA_VERSION!r}"
    )


def _as_checked(item: Item) -> tuple[Item, list[str]]:
    """``item`` with what a store adds anyway, and what is worth saying about that."""
    warnings = []
    subject: Item = {"links": [], "stac_extensions": []} | item
    version = item.get("stac_version")
    if isinstance(version, str) and version.startswith("1.0."):
        warnings.append(f"stac_version: is {version} and is checked as {_STAC_VERSION}")
        subject["stac_version"] = _STAC_VERSION
    # The store states the collection, together with the link that STAC wants beside it.
    subject["collection"] = str(item.get("collection", "of-the-store"))
    if isinstance(subject["links"], list):
        subject["links"] = [*subject["links"], {"rel": "collection", "href": "../collection.json"}]
    return subject, warnings


def _extensions(item: Item) -> list[str]:
    found = item.get("stac_extensions")
    return list(dict.fromkeys(uri for uri in found if isinstance(uri, str))) if isinstance(found, list) else []


def _counts(uri: str) -> bool:
    """Whether breaking the schema makes an item invalid: STAC's and ours do, private ones are remarked."""
    return is_own(uri) or urlsplit(uri).hostname == STAC_HOST


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())

    @checker.checks("date-time", raises=ValueError)
    def _(value: object) -> bool:
        if isinstance(value, str):
            datetime.fromisoformat(value)
        return True

    return checker


def _once(lines: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
