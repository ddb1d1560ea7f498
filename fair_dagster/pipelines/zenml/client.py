"""The one way to a ZenML client, and ZenML's errors in our words.

Nothing here knows models or runs. ZenML's client is not thread-safe: use one process a pipeline; calls of several
threads wait for each other here.
"""

import contextlib
import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import CredentialsError, FairError, ServiceError, UnreachableError
from fair_dagster.pipelines.zenml.environment import prepare
from fair_dagster.pipelines.zenml.identity import require_same_zenml
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from urllib3.util import Retry
    from zenml.client import Client

PAGE_SIZE = 500
_ANSWER_SECONDS = 5.0
_RESTART_SECONDS = 300
_LONGEST_WAIT_SECONDS = 16
_UNAVAILABLE = (408, 429, 502, 503, 504)
_ADVICE = "check that it runs and that ZENML_STORE_URL is right"
_NO_CONNECTION = re.compile(r"Error connecting to URL '([^']*)'")
# Sensors of one code location tick in threads of one process.
_TURN = threading.RLock()


def open_client(settings: Settings, *, patient: bool = True) -> "Client":
    """ZenML's client for this home; its database is created on first use (about 6 s).

    Args:
        patient: wait for a server that does not answer, as ZenML does: half a minute when it refuses, minutes when it
            is silent or overloaded. Otherwise calls fail within ZenML's timeout (30 s), from now on in this process.

    Raises:
        ServiceError: the server or the database cannot be used, or is another one than this home has used so far.
    """
    prepare(settings)
    if not patient:
        # Before this thread's turn, which somebody patient may have for long.
        _require_answer()
    with zenml_errors(), contextlib.redirect_stdout(sys.stderr):
        # On first use ZenML prints what it sets up; the output of a command stays free of it.
        from zenml.client import Client

        client = Client()
        _ = client.active_stack_model
        if not patient:
            give_up_soon(client.zen_store)
        require_same_zenml(settings, client)
        return client


def _require_answer() -> None:
    """Ask the server whether it is there; opening a client offers no way to be told soon."""
    import requests
    from zenml.config.global_config import GlobalConfiguration
    from zenml.zen_stores.rest_zen_store import RestZenStoreConfiguration

    configured = GlobalConfiguration().store_configuration
    if not RestZenStoreConfiguration.supports_url_scheme(configured.url):
        return
    store = RestZenStoreConfiguration(**configured.model_dump())
    try:
        answer = requests.get(f"{store.url}/health", timeout=_ANSWER_SECONDS, verify=store.verify_ssl)
    except requests.Timeout as error:
        raise ServiceError(
            f"ZenML's server at {store.url} says nothing for {_ANSWER_SECONDS:g} s: {_ADVICE}"
        ) from error
    except requests.RequestException as error:
        raise UnreachableError(
            f"ZenML's server at {store.url} cannot be reached ({_root(error)}): {_ADVICE}"
        ) from error
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ServiceError(f"ZenML's server at {store.url} is not ready ({answer.status_code} {answer.reason})")


def give_up_soon(store: Any) -> None:
    """Let the calls of a ZenML store that go to a server be tried at most twice."""
    _retry(store, 1)


def outlast(store: Any) -> None:
    """Let the calls of a ZenML store outlast a restart of its server, of up to five minutes.

    For a process whose work of hours would be lost otherwise; ZenML by itself gives up after half a minute. A call that
    is tried again carries the key of its first try, so that the server does nothing twice.
    """
    from urllib3.util import Retry

    # 0, 2, 4, 8 and then 16 s between two tries.
    tries = 4 + _RESTART_SECONDS // _LONGEST_WAIT_SECONDS
    retry = Retry(
        total=tries,
        redirect=3,
        backoff_factor=1,
        backoff_max=_LONGEST_WAIT_SECONDS,
        allowed_methods=None,
        status_forcelist=_UNAVAILABLE,
    )
    _retry(store, retry)


def _retry(store: Any, retries: "int | Retry") -> None:
    from requests.adapters import HTTPAdapter

    for scheme in ("http://", "https://") if hasattr(store, "session") else ():
        store.session.mount(scheme, HTTPAdapter(max_retries=retries))


@contextlib.contextmanager
def zenml_errors() -> Iterator[None]:
    """One thread's turn with ZenML. Turns what it raises when it cannot work into ``ServiceError``.

    ``KeyError`` (not found) passes.
    """
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _TURN:
            yield
    except (FairError, KeyError):
        raise
    except (RequestException, ConnectionError) as error:
        raise UnreachableError(f"ZenML's server did not answer ({_root(error)}): {_ADVICE}") from error
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise ServiceError(
            f"ZenML's database cannot be used ({cause}): check space and permissions of FAIR_HOME"
        ) from error
    except Exception as error:
        raise _service_error(error) from error


def _service_error(error: Exception) -> Exception:
    from zenml.exceptions import AuthorizationException

    if isinstance(error, AuthorizationException):
        return CredentialsError(f"ZenML refused the credentials ({error}): check ZENML_STORE_API_KEY")
    if isinstance(error, RuntimeError) and (found := _NO_CONNECTION.match(str(error))):
        return UnreachableError(f"ZenML's server at {found[1]} cannot be reached ({_root(error)}): {_ADVICE}")
    return ServiceError(f"ZenML failed with {type(error).__name__}: {error}")


def _root(error: Exception) -> str:
    """What the system said of a connection; the libraries tell before it all that they tried."""
    text = str(error).rsplit(": ", 1)[-1].rstrip("'\")") or type(error).__name__
    return text + ")" * (text.count("(") - text.count(")"))


def one_of(values: Iterable[Any]) -> str:
    """A ZenML filter that matches any of ``values``."""
    return f"oneof:{json.dumps([str(value) for value in values])}"


def all_pages(list_method: Any, **filters: Any) -> list[Any]:
    """Every row of a ZenML listing, which otherwise stops at 20."""
    page = list_method(page=1, size=PAGE_SIZE, **filters)
    rows = list(page.items)
    while page.index < page.total_pages:
        page = list_method(page=page.index + 1, size=PAGE_SIZE, **filters)
        rows += page.items
    return rows


def aware(moment: datetime) -> datetime:
    """ZenML's naive UTC as an aware datetime in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def zenml_moment(moment: datetime) -> str:
    """An aware datetime as ZenML's filters want it: UTC, in whole seconds, rounded down."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
