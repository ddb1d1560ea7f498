"""Schemas for programs that fetch them: copies in place of the network, for the time of a test."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

import pytest
import requests

from fair_dagster.catalog.validation.schema_cache import MissingSchemaError, SchemaCache


@pytest.fixture
def asked(shared_schemas: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The schemas that were asked for. A request that leaves this machine is answered from the copies, or refused."""
    cache, send, found = SchemaCache(shared_schemas, offline=True), requests.adapters.HTTPAdapter.send, set()

    def answer(self: Any, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        address = urldefrag(str(request.url)).url
        if urlsplit(address).hostname in {"127.0.0.1", "localhost"}:
            return send(self, request, **options)
        found.add(address)
        response = requests.Response()
        response.request, response.url, response.status_code = request, address, 200
        try:
            response.raw = BytesIO(json.dumps(cache.get(address)).encode())
        except MissingSchemaError as error:
            raise requests.ConnectionError(f"no copy of {address}: {error}") from error
        response.headers["Content-Type"] = "application/json"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answer)
    return found
