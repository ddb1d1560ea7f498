"""Digests of items: what preconditions compare. Nothing here reads files."""

import hashlib

import orjson

from fair_dagster.domain.items.stac import Item


def digest_of(item: Item) -> str:
    """SHA-256 (hex) of ``item`` as canonical JSON: keys sorted, no white space. Key order does not count."""
    return hashlib.sha256(orjson.dumps(item, option=orjson.OPT_SORT_KEYS)).hexdigest()
