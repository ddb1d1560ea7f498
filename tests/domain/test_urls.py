"""Passwords inside URLs do not reach anybody's eyes, however they are written."""

import pytest

from fair_dagster.domain.urls import has_credentials, redact, split_credentials


@pytest.mark.parametrize(
    "user_info", ["user:s3cret", "s3cret", "user:p@s3cret", "user:p/s3cret", "u:12/s3cret@q", ":s3cret"]
)
@pytest.mark.parametrize("scheme", ["https", "http", "ssh", "HTTPS", "postgresql+psycopg2"])
def test_a_password_is_taken_out_however_it_is_written(scheme: str, user_info: str) -> None:
    url = f"{scheme}://{user_info}@host.example:8080/r.git"
    told = redact(f"fatal: unable to access '{url}' (403), and \"{url}\"")
    assert "s3cret" not in told
    assert told.count("://***@host.example:8080/r.git") == 2
    assert split_credentials(url) == (f"{scheme}://host.example:8080/r.git", user_info)


@pytest.mark.parametrize("text", ["https://host.example/r.git", "mail a@b.example, then https://c.example/d", "C:/x@y"])
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@h.example/r", True),
        ("https://token@h.example/r", True),
        ("https://user:a/b@h.example/r", True),
        ("ssh://user:pw@h.example/r", True),
        ("ssh://git@h.example/r", False),
        ("ssh://git@h.example:2222/r", False),
        ("git@h.example:r.git", False),
        ("https://h.example/r", False),
        ("/srv/models@home", False),
        ("", False),
    ],
)
def test_the_user_of_ssh_is_no_credential(url: str, expected: bool) -> None:
    assert has_credentials(url) is expected
