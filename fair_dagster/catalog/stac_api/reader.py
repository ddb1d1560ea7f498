"""Reading a STAC API through pystac-client: searches page by page, documents, what the API can do.

A failed read is an error, never an empty answer. Returns STAC JSON as the API spells it; ``stac_layout`` translates.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from fair_dagster.catalog.stac_api.http import StacApiError, StacHttp
from fair_dagster.catalog.stac_api.layout import StacLayout, root_of
from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.domain.errors import CatalogError, RefusedError
from fair_dagster.domain.urls import has_credentials, redact

if TYPE_CHECKING:
    from pystac_client import Client

Document = dict[str, Any]

PAGE = 500
"""Whole items a page: some megabytes."""
PAGE_OF_IDS = 10_000
"""Items of which only a few fields are asked for; the most that stac-fastapi gives."""
_TRANSACTIONS = "/extensions/transaction"


class StacReader:
    """Reads the API at ``url``. Opened at the first request, so that making one costs nothing.

    Args:
        url: root of the API.
        token: bearer token, where the API asks for one.
        patience: see ``StacHttp``.
    """

    def __init__(self, url: str, token: str = "", *, patience: Patience | None = None) -> None:
        self.url = url.rstrip("/")
        self.http = StacHttp(self.url, token, patience=patience)

    @cached_property
    def landing_page(self) -> Document:
        """The root document.

        Raises:
            CatalogError: there is no STAC API at the URL, or it does not answer.
        """
        page = self._json(self.url)
        if page.get("type") != "Catalog" or not isinstance(page.get("conformsTo"), list):
            raise CatalogError(
                f"{redact(self.url)} answers, but is no STAC API: it does not say what it conforms to. "
                "FAIR_CATALOG must be the root of the API"
            )
        self.http.announced = root_of(page)
        return page

    @cached_property
    def announced(self) -> str:
        """The root as the API spells it in its links."""
        return root_of(self.landing_page)

    @property
    def has_transactions(self) -> bool:
        """Whether the API says that items can be written through it."""
        return any(str(uri).endswith(_TRANSACTIONS) for uri in self.landing_page["conformsTo"])

    def search(
        self,
        collection: str,
        *,
        ids: Sequence[str] | None = None,
        where: Document | None = None,
        fields: Sequence[str] | None = None,
        limit: int = PAGE,
    ) -> Iterator[Document]:
        """The items of ``collection`` by id, page by page.

        Args:
            ids: only these.
            where: a filter in CQL2 JSON.
            fields: ask for these only; an API without the extension gives whole items.
            limit: items a page.

        Raises:
            CatalogError: a page could not be read.
        """
        from pystac_client.exceptions import APIError
        from pystac_client.warnings import DoesNotConformTo

        try:
            search = self._client.search(
                collections=[collection],
                ids=ids,
                filter=where,
                filter_lang="cql2-json" if where else None,
                fields=list(fields) if fields else None,
                sortby=[{"field": "id", "direction": "asc"}],
                limit=limit,
            )
            for page in search.pages_as_dicts():
                for feature in page["features"]:
                    self._require_asked_for(feature, collection, ids)
                    yield feature
        except DoesNotConformTo as error:
            problem = f"the API at {redact(self.url)} lacks what is needed to read items: {error}"
            raise CatalogError(f"{problem}. It must offer item search with filter and sort") from error
        except (APIError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _not_stac(self.url, error) from error

    def _require_asked_for(self, feature: Document, collection: str, ids: Sequence[str] | None) -> None:
        """What was not asked for is a search that was not understood, and its absence would not be an absence."""
        of, item_id = feature.get("collection", collection), feature.get("id")
        if not isinstance(item_id, str):
            raise CatalogError(
                f"the API at {redact(self.url)} shows something in {collection} that has no id, and nobody can name "
                "what has none. With FAIR_PGSTAC_DSN the row that it stands in is found and restored"
            )
        if of != collection or (ids is not None and item_id not in ids):
            raise CatalogError(
                f"the API at {redact(self.url)} answers a search in {collection} with {of}/{item_id}, which was not "
                "asked for. FAIR_CATALOG must be the root of a STAC API that carries out searches by POST"
            )

    def collection(self, layout: StacLayout, name: str) -> Document | None:
        """The document of a collection; None where there is none.

        Raises:
            CatalogError: it could not be read, or what answers is no STAC API.
        """
        try:
            return self._json(layout.collection_href(name))
        except StacApiError as error:
            # A page of a proxy is no answer of the API, and other servers answer in JSON too.
            if error.status != HTTPStatus.NOT_FOUND or not error.body.lstrip().startswith("{"):
                raise
        _ = self.landing_page
        return None

    @cached_property
    def _client(self) -> "Client":
        from pystac_client import Client

        page = self.landing_page
        try:
            client = Client.from_dict(page, href=self.url)
        except Exception as error:
            raise _not_stac(self.url, error) from error
        client._stac_io = self.http
        # It knows one spelling of this class, and warns of any other. Nothing here relies on the order.
        client.add_conforms_to("SORT")
        return client

    def _json(self, href: str) -> Document:
        text = self.http.request(href)
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise _not_stac(href, error) from error
        if not isinstance(document, dict):
            raise _not_stac(href, TypeError("it is no JSON object"))
        return document


def require_url(url: str) -> str:
    """``url``; raises ``RefusedError`` when it cannot be that of a STAC API, or shows a password."""
    problems = []
    if not url.startswith(("http://", "https://")):
        problems.append(f"{redact(url)!r} is no folder, and no http or https URL of a STAC API")
    if has_credentials(url):
        problems.append(f"{redact(url)!r} holds a password; a token goes into FAIR_CATALOG_TOKEN")
    if problems:
        raise RefusedError("the setting FAIR_CATALOG", problems)
    return url


def _not_stac(url: str, error: Exception) -> CatalogError:
    return CatalogError(
        f"what {redact(url)} answers is not STAC ({type(error).__name__}: {error}). FAIR_CATALOG must be the root of "
        "a STAC API, and no page of a proxy or a login may stand before it"
    )
