"""Fakes of registries; the real ones are the servers of all tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.oci.servers import Fake, Script, fake_registry


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ExitStack() as stack:

        def start(**script: Any) -> tuple[str, Script]:
            made = Script(**script)
            return stack.enter_context(fake_registry(made)), made

        yield start
