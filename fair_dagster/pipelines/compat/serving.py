"""Names of ``fair.serve.base`` that pipelines use. The serving app itself is not part of this."""

import functools
from typing import Any

from fair_dagster.pipelines.compat.data import resolve_path
from fair_dagster.pipelines.sessions import open_session

__all__ = ["load_session"]


@functools.lru_cache(maxsize=4)
def load_session(model_uri: str) -> Any:
    """An onnxruntime session on CPU for an ONNX file; kept for the next call."""
    return open_session(resolve_path(model_uri))
