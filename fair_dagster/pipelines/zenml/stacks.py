"""ZenML's stacks: apply a stack file, list what there is, choose the one that trainings run on.

How a file is read stands in ``stack_files``. Applying again changes what differs, and nothing else.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.urls import redact
from fair_dagster.pipelines.zenml.client import all_pages, open_client, zenml_errors
from fair_dagster.pipelines.zenml.stack_files import Component, StackFile
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client


@dataclass(frozen=True)
class StackRecord:
    """A stack as ZenML has it.

    Attributes:
        components: ``name (flavor)`` by type.
        active: trainings of this home run on it.
    """

    name: str
    id: str
    active: bool
    components: Mapping[str, str]


class Stacks:
    """Thin client. Every method may raise ``ServiceError`` when ZenML cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "Client":
        return open_client(self._settings)

    def all(self) -> tuple[StackRecord, ...]:
        """All stacks, by name."""
        with self._calls():
            active = self._client.active_stack_model.id
            rows = all_pages(self._client.list_stacks, sort_by="asc:name", hydrate=True)
            return tuple(_record(row, active) for row in rows)

    def of_one_machine(self) -> str:
        """The active stack's name where artifacts are in a folder of each machine's own, and empty otherwise.

        A folder outside of ``FAIR_HOME`` counts as shared: somebody has chosen it.
        """
        with self._calls():
            stack = self._client.active_stack_model
            # ZenML may be imported once its client has been opened, and not before.
            from zenml.enums import StackComponentType

            (store,) = stack.components[StackComponentType.ARTIFACT_STORE]
            if store.flavor_name != "local":
                return ""
            path = str(store.configuration.get("path") or "")
            is_shared = bool(path) and not Path(path).is_relative_to(self._settings.home.resolve())
            return "" if is_shared else str(stack.name)

    def use(self, name: str) -> StackRecord:
        """Let trainings of this home run on the stack ``name``.

        Raises:
            NotFoundError: there is no such stack.
        """
        with self._calls():
            row = self._stack(name)
            if row is None:
                known = ", ".join(row.name for row in all_pages(self._client.list_stacks))
                raise NotFoundError(f"stack {name!r}", [f"there is no such stack; there is {known}"])
            self._client.activate_stack(row.id)
            return _record(row, row.id)

    def apply(self, stack: StackFile) -> tuple[str, ...]:
        """Make ZenML's stack what ``stack`` says; what was changed, a sentence each.

        Raises:
            RefusedError: a flavor or a secret is not there, or a configuration does not fit; nothing was changed.
        """
        with self._calls(), ExitStack() as undo:
            if problems := self._problems(stack):
                raise RefusedError(f"stack {stack.name!r}", problems)
            done = [*self._apply_secrets(stack, undo)]
            ids: dict[Any, Any] = {}
            for component in stack.components:
                row, said = self._apply_component(component, undo)
                ids[row.type] = row.id
                done += said
            done += self._apply_stack(stack.name, ids)
            undo.pop_all()
            return tuple(done)

    def _problems(self, stack: StackFile) -> list[str]:
        problems: list[str] = []
        for component in stack.components:
            where = f"components.{component.type}"
            known = self._component(component)
            if known is not None and known.flavor_name != component.flavor:
                problems.append(
                    f"{where}: ZenML has a {component.type} {component.name!r} of flavor {known.flavor_name}: "
                    "choose another name"
                )
            problems += [f"{where}: {problem}" for problem in self._configuration_problems(component)]
            problems += [f"{where}: {problem}" for problem in self._secret_problems(component, stack.secrets)]
        return problems

    def _configuration_problems(self, component: Component) -> list[str]:
        from pydantic import ValidationError
        from zenml.exceptions import ZenMLBaseException
        from zenml.stack.flavor import Flavor
        from zenml.utils.secret_utils import is_secret_field, is_secret_reference

        rows = self._client.list_flavors(name=f"equals:{component.flavor}", type=component.type, size=1).items
        if not rows:
            known = sorted(row.name for row in all_pages(self._client.list_flavors, type=component.type))
            return [f"ZenML has no flavor {component.flavor!r}; there is {', '.join(known)}"]
        try:
            config = Flavor.from_model(rows[0]).config_class
        except ImportError as error:
            return [f"flavor {component.flavor!r} needs a package that is not installed here: {error}"]
        fields = config.model_fields
        problems = [
            f"{name!r} is no setting of flavor {component.flavor}" for name in component.configuration.keys() - fields
        ]
        problems += [
            f"{name!r} is a secret and may not stand in a file: write {{{{secret.key}}}}"
            for name, value in component.configuration.items()
            if name in fields and is_secret_field(fields[name]) and not is_secret_reference(value)
        ]
        if problems:
            return sorted(problems)
        # ZenML looks up a secret when a check of its reads the field; those of the file may not be there yet.
        given = {name: "-" if is_secret_reference(value) else value for name, value in component.configuration.items()}
        try:
            config(warn_about_plain_text_secrets=False, **given)
        except ValidationError as error:
            # What was given is not repeated: it may be a password in a URL.
            return [f"{'.'.join(map(str, one['loc'])) or 'configuration'}: {one['msg']}" for one in error.errors()]
        except (ZenMLBaseException, ValueError) as error:
            return [redact(str(error))]
        return []

    def _secret_problems(self, component: Component, given: Mapping[str, Mapping[str, str]]) -> list[str]:
        problems = []
        for name, key in component.secrets:
            known = self._secret(name)
            if key not in given.get(name, {}) and (known is None or key not in known.secret_values):
                problems.append(
                    f"the secret {name!r} has no {key!r}: set the variable that the file names for it, or "
                    f"`zenml secret create {name} --{key}=…`"
                )
        return problems

    def _apply_secrets(self, stack: StackFile, undo: ExitStack) -> Iterator[str]:
        for name, values in stack.secrets.items():
            known = self._secret(name)
            if known is None and values:
                made = self._client.create_secret(name, dict(values))
                undo.callback(_quietly, partial(self._client.delete_secret, made.id))
                yield f"created secret {name}"
            elif known is not None and any(known.secret_values.get(key) != value for key, value in values.items()):
                before = {key: value for key, value in known.secret_values.items() if key in values}
                self._client.update_secret(known.id, add_or_update_values=dict(values))
                added = [key for key in values if key not in before]
                put_back = partial(self._client.update_secret, known.id, add_or_update_values=before)
                undo.callback(_quietly, partial(put_back, remove_values=added))
                yield f"updated secret {name}"

    def _apply_component(self, component: Component, undo: ExitStack) -> tuple[Any, list[str]]:
        from zenml.enums import StackComponentType

        kind, wanted = StackComponentType(component.type), dict(component.configuration)
        known = self._component(component)
        if known is None:
            made = self._client.create_stack_component(component.name, component.flavor, kind, wanted)
            undo.callback(_quietly, lambda: self._client.delete_stack_component(made.id, kind))
            return made, [f"created {component.type} {component.name}"]
        before = dict(known.configuration)
        if before == wanted:
            return known, []
        self._configure(known, kind, wanted)
        undo.callback(_quietly, lambda: self._configure(known, kind, before))
        return known, [f"updated {component.type} {component.name}"]

    def _configure(self, known: Any, kind: Any, wanted: Mapping[str, Any]) -> None:
        now = self._client.get_stack_component(kind, known.id).configuration
        # ZenML merges; what is None is taken out.
        self._client.update_stack_component(known.id, kind, configuration=dict.fromkeys(now) | dict(wanted))

    def _apply_stack(self, name: str, ids: Mapping[Any, Any]) -> list[str]:
        known = self._stack(name)
        if known is None:
            self._client.create_stack(name, ids)
            return [f"created stack {name}"]
        if {kind: [row.id for row in rows] for kind, rows in known.components.items()} == {
            kind: [one] for kind, one in ids.items()
        }:
            return []
        gone: dict[Any, Any] = {kind: [] for kind in known.components if kind not in ids}
        self._client.update_stack(known.id, component_updates=gone | {kind: [one] for kind, one in ids.items()})
        return [f"updated stack {name}"]

    def _component(self, component: Component) -> Any | None:
        from zenml.enums import StackComponentType

        rows = self._client.list_stack_components(
            type=StackComponentType(component.type), name=f"equals:{component.name}", size=1, hydrate=True
        ).items
        return rows[0] if rows else None

    def _secret(self, name: str) -> Any | None:
        rows = self._client.list_secrets(name=f"equals:{name}", size=1).items
        return self._client.get_secret(rows[0].id) if rows else None

    def _stack(self, name: str) -> Any | None:
        rows = self._client.list_stacks(name=f"equals:{name}", size=1, hydrate=True).items
        return rows[0] if rows else None

    @contextlib.contextmanager
    def _calls(self) -> Iterator[None]:
        # The client is opened first: it sets the environment that ZenML reads when imported.
        _ = self._client
        with zenml_errors():
            yield


def _quietly(act: Callable[[], Any]) -> None:
    """Undo what can be: the error that led here is the one to be told."""
    with contextlib.suppress(Exception):
        act()


def _record(row: Any, active: Any) -> StackRecord:
    components = {
        str(kind.value): ", ".join(f"{one.name} ({one.flavor_name})" for one in rows)
        for kind, rows in row.components.items()
    }
    return StackRecord(row.name, str(row.id), row.id == active, components)
