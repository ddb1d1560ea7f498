"""A catalog that a test brings out of step."""

import pytest

from tests.installations import Installation


@pytest.fixture
def promoted(installation: Installation) -> Installation:
    """Two promoted versions of one finetuned model; the second is active."""
    for version in (installation.trained(), installation.trained()):
        installation.promote(version)
    return installation
