"""Statistics of two samples, a reference and what arrived: how far they are apart, and by what chance when nothing changed."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import betabinom, binomtest, ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

_RATIOS = (1, 2, 4, 8, 16)
_TABLES = 9999  # drawn by chance for a p-value, which so is 0.0001 at least
_FOLDS = 5
_PICTURES_A_DIRECTION = 8  # told apart by: more directions for as few pictures are learned by heart


def alike(
    labels: tuple[list[str], list[str]], chance: Generator, *, even: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both samples, as many as there can be, with the same share of each class in both, class after class.

    With `even` also as many, so that the i-th rows of both are of the same class. So what is compared is how the classes
    look, not which there are: that has a check of its own.
    """
    shared = {label: i for i, label in enumerate(sorted(set(labels[0]) & set(labels[1])))}
    codes = [np.fromiter((shared.get(label, -1) for label in side), np.int64, len(side)) for side in labels]
    rows = [[np.flatnonzero(side == i) for i in range(len(shared))] for side in codes]
    sizes = np.array([[len(one) for one in side] for side in rows]).reshape(2, -1)
    best, worth = np.zeros((2, len(shared)), int), 0.0
    for ratio in (1,) if even else _RATIOS:
        for more in (0, 1):
            takes = np.minimum(sizes[more] // ratio, sizes[1 - more])
            counts = np.stack([takes * ratio, takes] if more == 0 else [takes, takes * ratio])
            first, second = counts.sum(axis=1)
            if first and first * second / (first + second) > worth:
                best, worth = counts, first * second / (first + second)
    taken = [
        [chance.permutation(one)[:count] for one, count in zip(side, counts, strict=True)]
        for side, counts in zip(rows, best, strict=True)
    ]
    first_rows, second_rows = (np.concatenate([np.zeros(0, int), *side]) for side in taken)
    return first_rows, second_rows


def stability_index(reference: NDArray[np.int64], arrived: NDArray[np.int64]) -> float:
    """The population stability index of two rows of counts, half a picture added to each: 0 is the same mix."""
    a, b = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, arrived))
    return float(((b - a) * np.log(b / a)).sum())


def mix(reference: NDArray[np.int64], arrived: NDArray[np.int64], chance: Generator) -> float:
    """The p-value of the chi² test that two rows of counts have the same mix, from tables drawn with the same margins.

    So it holds for classes with few pictures too, for which the chi² distribution does not.
    """
    both = reference + arrived
    size = int(arrived.sum())
    expected = both * (size / both.sum())
    far = both > 0

    def distance(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the arrived row; the other row's part is in proportion to it."""
        found: NDArray[np.float64] = ((counts - expected)[..., far] ** 2 / expected[far]).sum(axis=-1)
        return found

    drawn = distance(chance.multivariate_hypergeometric(both, size, _TABLES, method="marginals"))
    return float((1 + (drawn >= distance(arrived) * (1 - 1e-12)).sum()) / (1 + _TABLES))


def apart(reference: NDArray[np.float32], arrived: NDArray[np.float32]) -> tuple[float, float]:
    """Kolmogorov and Smirnov's distance of two distributions, 0 to 1, and its p-value."""
    found = ks_2samp(reference, arrived, method="asymp")
    return float(found.statistic), float(found.pvalue)


def told_apart(reference: NDArray[np.float16], arrived: NDArray[np.float16], directions: int) -> tuple[float, float]:
    """How often a classifier tells which sample a row [dimensions] is from, and the p-value of its being a coin.

    Lopez-Paz & Oquab 2017, with logistic regression, cross-validated; it sees the directions in which all rows, whichever
    sample they are from, differ most. The i-th rows of both are a pair, of the same class, and learned from or asked together:
    if not, what is learned from would have more of one sample exactly where what is asked has less, and mislead.
    """
    rows = np.nan_to_num(np.concatenate([reference, arrived])).astype(np.float64)
    theirs = np.arange(len(rows)) >= len(reference)
    rows -= rows.mean(axis=0)
    kept = min(directions, len(rows) // _PICTURES_A_DIRECTION, rows.shape[1])
    axes = np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :kept]
    seen = rows @ axes
    seen /= np.maximum(seen.std(axis=0), 1e-6)
    folds = PredefinedSplit(np.tile(np.arange(len(reference)) % _FOLDS, 2))
    guessed = cross_val_predict(LogisticRegression(), seen, theirs, cv=folds)
    hits = int((guessed == theirs).sum())
    return hits / len(rows), float(binomtest(hits, len(rows), 0.5, alternative="greater").pvalue)


def unlike(
    reference: NDArray[np.float32], arrived: NDArray[np.float32], share: float, most: float
) -> tuple[float, float, float]:
    """What share of the arrived is below the reference's `share` quantile (`most` at most); that bound; and the p-value.

    The bound is the r-th smallest of the reference. How many of m others from the same distribution lie below it is known
    exactly, beta-binomial, however few the reference has: nothing is taken for granted about a quantile of few.
    """
    rank = max(1, int(np.ceil(share * len(reference))))
    bound = min(float(np.sort(reference)[rank - 1]), most)
    below = int((arrived < bound).sum())
    chance = betabinom.sf(below - 1, len(arrived), rank, len(reference) - rank + 1)
    return below / len(arrived), bound, float(chance)
