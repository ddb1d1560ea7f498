"""Asking Dagster's web server to load the code location again, so that new base model folders become assets."""

from urllib.parse import unquote

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.urls import split_credentials

_TIMEOUT = 5.0
_RELOAD = """
mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
_LOADED = "WorkspaceLocationEntry"


def ask_for_reload(url: str, location: str) -> None:
    """Have the server at ``url`` reload ``location``; a user name and password in it are for the proxy before it.

    Loading takes seconds and goes on by itself: an answer that does not come in time is no failure.

    Raises:
        ServiceError: the server does not answer or refuses.
    """
    import httpx

    # httpx names the URL in its log and its errors.
    url, user_info = split_credentials(url)
    user, _, password = user_info.partition(":")
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/graphql",
            json={"query": _RELOAD, "variables": {"name": location}},
            auth=(unquote(user), unquote(password)) if user_info else None,
            follow_redirects=False,
            timeout=httpx.Timeout(_TIMEOUT),
            trust_env=False,
        )
        answer.raise_for_status()
        document = answer.json()
    except httpx.ReadTimeout:
        return
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServiceError(f"Dagster at {url} cannot be asked to reload {location!r}: {error}") from error
    found = (document.get("data") or {}).get("reloadRepositoryLocation") or {}
    if found.get("__typename") != _LOADED:
        reason = found.get("message") or found.get("__typename") or document.get("errors")
        raise ServiceError(f"Dagster at {url} did not reload {location!r}: {reason}")
