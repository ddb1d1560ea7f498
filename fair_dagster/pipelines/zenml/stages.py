"""Stages of ZenML's model versions in bulk: short rows by the page, for whoever watches or compares all of them.

What one version is like stands in ``model_versions``; what the rows mean for the catalog is decided elsewhere.

See docs/decisions/0002.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.publication.stage_changes import StageRow
from fair_dagster.domain.versions import REQUEST_KEY, stage_of
from fair_dagster.pipelines.zenml.client import all_pages, aware, one_of, open_client, zenml_errors, zenml_moment
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client

IDS_A_CALL = 100
"""Over HTTP a filter is part of the address, and proxies before servers refuse one of more than 8 KiB."""


@dataclass(frozen=True)
class RowPage:
    """One page of a listing; ``last`` says that nothing comes after it."""

    rows: tuple[StageRow, ...]
    last: bool


class Stages:
    """Thin client. Every method raises ``ServiceError`` when ZenML cannot be used, and never returns a part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "Client":
        # Whoever watches looks again soon, and Dagster ends a sensor's tick after 60 s.
        return open_client(self._settings, patient=False)

    def changed(self, since: datetime, page: int, size: int) -> RowPage:
        """Versions changed at ``since`` (aware, cut to the second) or later, the oldest change first."""
        return self._page(page, size, updated=f"gte:{zenml_moment(since)}", sort_by="asc:updated")

    def in_production(self, page: int, size: int) -> RowPage:
        """Versions in production, in an order that stays."""
        return self._page(page, size, stage="production", sort_by="asc:id")

    def family(self, name: str) -> tuple[StageRow, ...]:
        """All versions of a model; empty when ZenML has no model of that name."""
        with self._calls():
            models = self._client.list_models(name=f"equals:{name}", size=1).items
            if not models:
                return ()
            rows = all_pages(self._client.list_model_versions, model=models[0].id, sort_by="asc:number")
            return tuple(_row(row) for row in rows)

    def count(self, created_until: datetime) -> int:
        """How many of the versions that ZenML has were made until the second of ``created_until``."""
        with self._calls():
            page = self._client.list_model_versions(created=f"lte:{zenml_moment(created_until)}", size=1)
            return int(page.total)

    def versions(self, uuids: Sequence[str]) -> tuple[StageRow, ...]:
        """Those of the versions ``uuids`` that ZenML has."""
        found: list[StageRow] = []
        with self._calls():
            for start in range(0, len(uuids), IDS_A_CALL):
                chosen = one_of(uuids[start : start + IDS_A_CALL])
                found += (_row(row) for row in all_pages(self._client.list_model_versions, id=chosen))
        return tuple(found)

    def gone(self, uuids: Sequence[str]) -> set[str]:
        """Those of ``uuids`` that ZenML has no version of; cheaper than ``versions`` where it has nearly all."""
        missing = set(uuids)
        with self._calls():
            for start in range(0, len(uuids), IDS_A_CALL):
                chosen = uuids[start : start + IDS_A_CALL]
                # Counting is cheaper than listing, and nearly always enough.
                if self._client.list_model_versions(id=one_of(chosen), size=1).total == len(set(chosen)):
                    missing -= set(chosen)
                    continue
                rows = all_pages(self._client.list_model_versions, id=one_of(chosen))
                missing -= {str(row.id) for row in rows}
        return missing

    def base_models(self, uuids: Sequence[str]) -> Mapping[str, str]:
        """The base models that the finetune requests of versions name; one not made by this system is left out."""
        found = {}
        with self._calls():
            for start in range(0, len(uuids), IDS_A_CALL):
                chosen = one_of(uuids[start : start + IDS_A_CALL])
                for row in all_pages(self._client.list_model_versions, id=chosen, hydrate=True):
                    request = row.run_metadata.get(REQUEST_KEY)
                    if isinstance(request, Mapping) and request.get("base_model"):
                        found[str(row.id)] = str(request["base_model"])
        return found

    def _page(self, page: int, size: int, **filters: Any) -> RowPage:
        with self._calls():
            try:
                found = self._client.list_model_versions(page=page, size=size, **filters)
            except ValueError:
                # Rows went away since the page before: there is no such page any more.
                if page == 1:
                    raise
                return RowPage((), last=True)
            return RowPage(tuple(_row(row) for row in found.items), last=found.index >= found.total_pages)

    @contextlib.contextmanager
    def _calls(self) -> Iterator[None]:
        # The client is opened first: it sets the environment that ZenML reads when imported.
        _ = self._client
        with zenml_errors():
            yield


def _row(row: Any) -> StageRow:
    return StageRow(str(row.id), row.model.name, row.number, stage_of(row.stage), aware(row.updated))
