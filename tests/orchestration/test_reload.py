"""What is sent to Dagster's web server, and what is told of it."""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fair_dagster.domain.errors import ServiceError
from fair_dagster.orchestration.reload import ask_for_reload

URL = "http://user:s3cr%40et@dagster.example"
LOADED = {"data": {"reloadRepositoryLocation": {"__typename": "WorkspaceLocationEntry"}}}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[httpx.Response], list[httpx.Request]]:
    """A web server that gives one answer to everything; what came to it."""

    def answering(response: httpx.Response) -> list[httpx.Request]:
        came: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            came.append(request)
            return response

        def post(url: str, *, trust_env: bool, **options: Any) -> httpx.Response:
            options.pop("timeout")
            with httpx.Client(transport=httpx.MockTransport(answer), trust_env=trust_env) as client:
                return client.post(url, **options)

        monkeypatch.setattr(httpx, "post", post)
        return came

    return answering


def test_a_password_in_the_url_opens_the_proxy_and_stands_nowhere(
    answering: Callable[[httpx.Response], list[httpx.Request]], caplog: pytest.LogCaptureFixture
) -> None:
    came = answering(httpx.Response(200, json=LOADED))
    with caplog.at_level(logging.DEBUG):
        ask_for_reload(URL, "here")
    (request,) = came
    assert request.headers["Authorization"] == httpx.BasicAuth("user", "s3cr@et")._auth_header
    assert str(request.url) == "http://dagster.example/graphql"
    assert "s3cr" not in caplog.text


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(401),
        httpx.Response(307, headers={"Location": "http://elsewhere.example/"}),
        httpx.Response(
            200, json={"data": {"reloadRepositoryLocation": {"__typename": "PythonError", "message": "no"}}}
        ),
    ],
)
def test_a_refusal_is_told_without_the_password_and_followed_nowhere(
    answering: Callable[[httpx.Response], list[httpx.Request]], response: httpx.Response
) -> None:
    came = answering(response)
    with pytest.raises(ServiceError) as refused:
        ask_for_reload(URL, "here")
    assert len(came) == 1
    assert "http://dagster.example" in str(refused.value)
    assert "s3cr" not in str(refused.value)
    assert "user" not in str(refused.value)
