"""Which labels are taken: those on the list, or those seen before; and what becomes of the others. Pure."""

from __future__ import annotations

import csv
from collections.abc import Set
from typing import Literal

from model_service.errors import StepError
from model_service.sorting.labels import normalise

Decision = Literal["take", "hold", "refuse"]


class Admission:
    """`allow` is a list of labels separated by commas (one with a comma in it stands in quotes), as people write them.

    It may be empty: then `policy` ("accept", "hold" or "refuse") is for labels that are not among the `known`; otherwise
    for labels that it does not name, and these are refused unless the policy is to hold. Raises StepError for a name on the
    list that can be no label.
    """

    def __init__(self, allow: str, policy: Literal["accept", "hold", "refuse"], known: Set[str]) -> None:
        self._allowed, self._policy, self._known = _labels(allow), policy, known

    def of(self, label: str) -> Decision:
        """What becomes of a picture with that (normalised) label."""
        if label in (self._allowed or self._known):
            return "take"
        if self._policy == "accept":
            return "refuse" if self._allowed else "take"
        return self._policy

    def is_new(self, label: str) -> bool:
        """Whether no picture of that label was packed before."""
        return label not in self._known


def _labels(allow: str) -> frozenset[str]:
    if not allow.strip():
        return frozenset()
    written = [name for line in csv.reader(allow.splitlines(), skipinitialspace=True) for name in line if name.strip()]
    labels = {name: normalise(name) for name in written}
    bad = [name for name, label in labels.items() if label is None]
    if bad or not labels:
        said = f"{', '.join(map(repr, bad))} can be no label" if bad else f"{allow!r} names no label"
        remedy = (
            "mend --allow (the DAG's Param allow): labels separated by commas, each with a letter and without a slash"
        )
        raise StepError(f"--allow: {said}", remedy=remedy)
    return frozenset(label for label in labels.values() if label is not None)
