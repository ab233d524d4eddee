"""Two models on the same pictures: how sure their difference is."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 10_000
CONFIDENCE = 0.95


def paired_bootstrap(
    only_candidate: int, only_champion: int, pictures: int, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Within which the difference of accuracies (candidate less champion) lies, by the percentile bootstrap over pictures.

    Drawing n pictures with replacement, each with both models' answers, is drawing n times one of four outcomes (both right,
    either alone, neither) with the shares that they have. So how often each comes is multinomial: exactly the distribution of
    the resamples, in the time and memory of 10 000 draws however many pictures there are. Only the two outcomes in which the
    models differ move the difference; the other two are drawn as one.
    """
    if not pictures:
        raise ValueError("there are no pictures to draw from")
    same = pictures - only_candidate - only_champion
    shares = np.array([only_candidate, only_champion, same]) / pictures
    drawn = np.random.default_rng(seed).multinomial(pictures, shares, resamples)
    gains = drawn[:, 0] - drawn[:, 1]  # pictures: whole numbers, of which the quantile is one
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(gains, outside, method="lower"), np.quantile(gains, 1 - outside, method="higher")
    return int(low) / pictures, int(high) / pictures


def mcnemar(only_candidate: int, only_champion: int) -> float:
    """The exact p-value (two-sided) that two equally good models differ so much: of the pictures that just one got right, each
    is as likely to be either's (McNemar 1947, by the binomial distribution).
    """
    differing = only_candidate + only_champion
    return float(binomtest(only_candidate, differing, 0.5).pvalue) if differing else 1.0
