"""From what models said of pictures to what the rules ask: counts, intervals, calibration. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_service.evaluation import metrics
from model_service.judging import statistics
from model_service.judging.evidence import Evidence, Tally
from model_service.judging.scoring import Said, Scores


def compare(
    scores: Scores, candidate: tuple[Sequence[str], Said], champion: tuple[Sequence[str], Said], seed: int
) -> Evidence:
    """Of two models: the classes that each knows, and what it said."""
    (ours, said), (theirs, said_before) = candidate, champion
    both = set(ours) & set(theirs)
    compared = of_classes(scores, both)
    a, b = right(scores, said)[compared], right(scores, said_before)[compared]
    count, only_candidate, only_champion = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    low, high = statistics.paired_bootstrap(only_candidate, only_champion, count, seed) if count else (None, None)
    support, *hits = (by_class(scores, some) for some in (None, said, said_before))
    tallies = {name: Tally(support[name], hits[0][name], hits[1][name]) for name in support}
    return Evidence(
        compared=count,
        candidate=int(a.sum()),
        champion=int(b.sum()),
        only_candidate=only_candidate,
        only_champion=only_champion,
        low=low,
        high=high,
        ece=(ece(scores, said, compared), ece(scores, said_before, compared)),
        shared={label: tallies[label] for label in sorted(both)},
        new={label: tallies[label] for label in sorted(set(ours) - both)},
        removed={label: tallies[label] for label in sorted(set(theirs) - both)},
    )


def right(scores: Scores, said: Said) -> NDArray[np.bool_]:
    """Of which pictures [n] it said the label."""
    found: NDArray[np.bool_] = said.predicted == scores.labels
    return found


def of_classes(scores: Scores, classes: set[str]) -> NDArray[np.bool_]:
    """Which pictures [n] are of these."""
    found: NDArray[np.bool_] = np.array([name in classes for name in scores.names], bool)[scores.labels]
    return found


def by_class(scores: Scores, said: Said | None) -> dict[str, int]:
    """How many pictures each class has, in alphabetical order; or how many of them are said right."""
    labels = scores.labels if said is None else scores.labels[right(scores, said)]
    return dict(sorted(zip(scores.names, np.bincount(labels, minlength=len(scores.names)).tolist(), strict=True)))


def ece(scores: Scores, said: Said, of: NDArray[np.bool_]) -> float | None:
    """The expected calibration error on some of the pictures, as evaluations have it. None without pictures."""
    found: float | None = metrics.of_confidence(said.confidence[of][:, None], right(scores, said)[of])["ece"]
    return found
