"""A question to a crawl: a condition, an order, how many; and which of its fields no artifact has had. Pure.

How conditions and orders are read stands in ``query``, where artifacts come from in ``walking`` and ``index``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.crawl.query import Condition, Order
from fair_dagster.oci.crawl.query_values import find
from fair_dagster.oci.crawl.walking import FoundArtifact


@dataclass
class Question:
    """What is asked for, and which of its fields were seen.

    Attributes:
        required: a field that an artifact must have.
        looked_at: artifacts so far.
    """

    condition: Condition | None = None
    order: Order | None = None
    limit: int | None = None
    required: str | None = None
    looked_at: int = 0
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def parse(
        cls,
        condition: str | None = None,
        *,
        order: Sequence[str] = (),
        highest: str | None = None,
        lowest: str | None = None,
        limit: int | None = None,
    ) -> Self:
        """Read a question.

        Args:
            condition: in CQL2, like ``customProperties.accuracy > 0.9 AND name LIKE 'ramp%'``.
            order: fields, ascending, or descending with a minus before it.
            highest: only the artifact with the highest value of this field.
            lowest: only the one with the lowest.

        Raises:
            RefusedError: the condition or the order is none, or what is asked for contradicts itself.
        """
        extreme = highest or lowest
        if (highest is not None and lowest is not None) or (extreme is not None and (order or limit)):
            problem = "the highest and the lowest are each one artifact: ask for one of them, without order or limit"
            raise RefusedError("a question to registries", [problem])
        texts = [f"-{highest}"] if highest else [lowest] if lowest else list(order)
        return cls(
            None if condition is None else Condition.parse(condition),
            Order.parse(texts) if texts else None,
            1 if extreme else limit,
            extreme,
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it asks for, each once."""
        names = [*(self.condition.fields if self.condition else ())]
        names += [name for name, _ in self.order.fields] if self.order else []
        return tuple(dict.fromkeys(names))

    def answer(self, artifacts: Iterable[FoundArtifact]) -> Iterator[FoundArtifact]:
        """The artifacts that fit, in order; without an order as they come."""
        fitting = (one for one in artifacts if self.fits(one.fields))
        if self.order is None:
            return islice(fitting, self.limit)
        return iter(self.order.first(fitting, self.limit, lambda one: one.fields))

    def fits(self, fields: Mapping[str, Any]) -> bool:
        """Whether an artifact with these fields fits; it counts as looked at."""
        self.looked_at += 1
        self._seen |= {name for name in self.fields if name not in self._seen and find(fields, name) is not None}
        if self.required is not None and find(fields, self.required) is None:
            return False
        return self.condition is None or self.condition.fits(fields)

    def unseen(self) -> tuple[str, ...]:
        """Fields that no artifact had; none where no artifact was looked at."""
        return tuple(name for name in self.fields if name not in self._seen) if self.looked_at else ()
