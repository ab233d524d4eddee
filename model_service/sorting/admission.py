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

    With `policy` "hold", labels that are neither on the list nor among the `known` are held. Otherwise a list closes the set of
    classes: whatever it does not name is refused; and without one, what is not known is taken or refused, as the policy says.
    Raises StepError for a name on the list that can be no label.
    """

    def __init__(self, allow: str, policy: Literal["accept", "hold", "refuse"], known: Set[str]) -> None:
        self._allowed, self._policy, self._known = _labels(allow), policy, known

    def of(self, label: str) -> Decision:
        """What becomes of a picture with that (normalised) label."""
        if self._policy == "hold":
            return "take" if label in self._allowed | self._known else "hold"
        if self._allowed:
            return "take" if label in self._allowed else "refuse"
        return "take" if self._policy == "accept" or label in self._known else "refuse"

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
