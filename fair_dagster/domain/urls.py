"""User names and passwords inside URLs: found, taken out of a URL, and taken out of text that is shown.

What is before an ``@`` counts as secret even where a ``/`` or a further ``@`` would have had to be written in percent:
that a path loses its beginning is better than that half of a password is shown.
"""

import re

_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user_info>[^\s\"<>]*)@", re.IGNORECASE)
_SSH_USER = re.compile(r"(?:git\+)?ssh://[^\s/:@]+@[^\s@]*", re.IGNORECASE)


def redact(text: str) -> str:
    """``text`` without the user names and passwords of its URLs."""
    return _USER_INFO.sub(r"\g<scheme>***@", text)


def has_credentials(text: str) -> bool:
    """Whether ``text`` is a URL with a password or a token; the user name that ssh needs is none."""
    return _USER_INFO.match(text) is not None and _SSH_USER.fullmatch(text) is None


def split_credentials(url: str) -> tuple[str, str]:
    """A URL without its user information, and that: ``<user>:<password>`` as it stands there, or nothing."""
    found = _USER_INFO.match(url)
    return (found["scheme"] + url[found.end() :], found["user_info"]) if found else (url, "")
