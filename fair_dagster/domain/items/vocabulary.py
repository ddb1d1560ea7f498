"""The keyword vocabulary: which features, tasks and geometry types there are, and which of them go together.

Pure. The vocabulary itself is data (``schemas/keywords.json``), read by ``catalog.schemas``.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LABEL_TASKS: Mapping[str, frozenset[str]] = {
    "segmentation": frozenset({"semantic-segmentation", "instance-segmentation"}),
    "detection": frozenset({"object-detection"}),
}
"""What the Label extension 1.0.1 calls some of MLM's tasks; the others have one word in both."""


def mlm_tasks(label_tasks: Iterable[str]) -> frozenset[str]:
    """Words of ``label:tasks`` as MLM's tasks."""
    return frozenset(task for word in label_tasks for task in LABEL_TASKS.get(word, (word,)))


def label_task(task: str) -> str:
    """One of MLM's tasks as a word for ``label:tasks``."""
    return next((word for word, tasks in LABEL_TASKS.items() if task in tasks), task)


@dataclass(frozen=True)
class Vocabulary:
    """``combinations`` holds every valid (feature, task, geometry)."""

    features: frozenset[str]
    tasks: frozenset[str]
    geometries: frozenset[str]
    combinations: frozenset[tuple[str, str, str]]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Vocabulary":
        """From the form of ``schemas/keywords.json``."""
        combinations = (
            (entry["feature"], entry["task"], geometry)
            for entry in document["combinations"]
            for geometry in entry["geometries"]
        )
        return cls(
            frozenset(document["features"]),
            frozenset(document["tasks"]),
            frozenset(document["geometries"]),
            frozenset(combinations),
        )

    def mapped(self, keywords: Iterable[str]) -> list[str]:
        """What is mapped: the features among ``keywords``, or the words that are nothing else where none is known."""
        words = list(keywords)
        known = [word for word in words if word in self.features]
        return known or [word for word in words if word not in self.tasks | self.geometries]

    def keyword_problems(self, keywords: Iterable[str], *, geometry_required: bool = True) -> list[str]:
        """Why ``keywords`` do not say what is mapped and how.

        Wanted are one geometry type, a task, a feature, and that they go together.
        Keywords outside the vocabulary are allowed; without a known feature they count as new features,
        unless they look like a known one misspelled.
        """
        words = set(keywords)
        geometries = sorted(words & self.geometries)
        problems = []
        if len(geometries) > 1 or (geometry_required and not geometries):
            found = f"found {', '.join(geometries)}" if geometries else "found none"
            wanted = "exactly one" if geometry_required else "at most one"
            problems.append(f"must hold {wanted} of {_listed(self.geometries)}; {found}")
        if not words & self.tasks:
            problems.append(f"must hold a task: {_listed(self.tasks)}")
        problems += self._feature_problems(words)
        if len(geometries) == 1:
            problems += self._combination_problems(words, geometries[0])
        return problems

    def keyword_warnings(self, keywords: Iterable[str]) -> list[str]:
        """Features that only this item knows: datasets and models meet by these words."""
        words = set(keywords)
        if words & self.features:
            return []
        new = sorted(words - self.tasks - self.geometries)
        known = _listed(self.features)
        return [f"{word!r} is not in the vocabulary (features: {known})" for word in new]

    def _feature_problems(self, words: set[str]) -> list[str]:
        if words & self.features:
            return []
        others = sorted(words - self.tasks - self.geometries)
        if not others:
            return [f"must say what is mapped, e.g. one of {_listed(self.features)}"]
        problems = []
        for word in others:
            if close := difflib.get_close_matches(word, self.features, n=1, cutoff=0.8):
                problems.append(f"{word!r} is not in the vocabulary; did you mean {close[0]!r}?")
        return problems

    def _combination_problems(self, words: set[str], geometry: str) -> list[str]:
        problems = []
        for feature in sorted(words & self.features):
            for task in sorted(words & self.tasks):
                if (feature, task, geometry) in self.combinations:
                    continue
                valid = sorted(g for f, t, g in self.combinations if (f, t) == (feature, task))
                hint = f"valid geometries are {', '.join(valid)}" if valid else "there is no such task for it"
                problems.append(f"{feature}, {task} and {geometry} do not go together: {hint}")
        return problems


def _listed(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))
