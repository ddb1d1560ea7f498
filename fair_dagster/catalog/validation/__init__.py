"""Whether an item is valid: schemas, where they come from, and the words of their problems.

``Validator`` is here too: tests of model folders import it by this path.
"""

from fair_dagster.catalog.validation.validator import Validator

__all__ = ["Validator"]
