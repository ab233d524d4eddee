"""The difference of two models: its interval against resamples drawn one by one and against the normal distribution's, and
McNemar's p-value against numbers worked out by hand.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from model_service.judging.statistics import mcnemar, paired_bootstrap


@pytest.mark.parametrize(
    ("candidate", "champion", "p"),
    # 2 · Σ C(n, k) / 2ⁿ over the smaller tail, at most 1
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),
        (5, 0, 2 / 2**5),
        (6, 1, 2 * (1 + 7) / 2**7),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
    ],
)
def test_mcnemar_by_hand(candidate: int, champion: int, p: float) -> None:
    assert mcnemar(candidate, champion) == pytest.approx(p)
    assert mcnemar(champion, candidate) == pytest.approx(p)


def test_it_is_the_interval_of_pictures_drawn_one_by_one() -> None:
    only_candidate, only_champion, pictures = 30, 12, 300
    outcomes = np.repeat([1, -1, 0], [only_candidate, only_champion, pictures - only_candidate - only_champion])
    drawn = bootstrap(
        (outcomes,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1), batch=1000
    ).confidence_interval
    ours = paired_bootstrap(only_candidate, only_champion, pictures, seed=0)
    assert ours == pytest.approx((drawn.low, drawn.high), abs=0.004), "a picture or so, of 300"


@pytest.mark.parametrize(
    ("only_candidate", "only_champion", "pictures"), [(90, 40, 1000), (500, 700, 20_000), (3, 4, 100)]
)
def test_it_is_as_wide_as_the_variance_of_paired_outcomes_has_it(
    only_candidate: int, only_champion: int, pictures: int
) -> None:
    mean = (only_candidate - only_champion) / pictures
    deviation = math.sqrt(((only_candidate + only_champion) / pictures - mean**2) / pictures)
    half = float(norm.ppf(0.975)) * deviation
    low, high = paired_bootstrap(only_candidate, only_champion, pictures, seed=7)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.05 * half + 1 / pictures)


def test_the_same_seed_gives_the_same_interval_and_another_nearly_the_same() -> None:
    intervals = [paired_bootstrap(40, 25, 1000, seed) for seed in range(20)]
    assert paired_bootstrap(40, 25, 1000, 3) == intervals[3]
    lows = [low for low, _ in intervals]
    assert 0 < max(lows) - min(lows) < 0.002


def test_models_that_never_differ_have_no_interval_to_speak_of() -> None:
    assert paired_bootstrap(0, 0, 50, seed=0) == (0.0, 0.0)


def test_one_that_is_never_worse_begins_at_nothing_lost() -> None:
    low, high = paired_bootstrap(1, 0, 200, seed=0)
    assert (low, high) == (0.0, 3 / 200)
    low, high = paired_bootstrap(0, 1, 200, seed=0)
    assert (low, high) == (-3 / 200, 0.0)


def test_the_interval_holds_what_it_promises() -> None:
    """Of 300 worlds in which the candidate is two points better, 95 % of the intervals hold these; by chance 92 to 98 %."""
    chance, pictures = np.random.default_rng(0), 400
    drawn = chance.multinomial(pictures, [0.08, 0.06, 0.86], 300)
    held = 0
    for number, (a, b, _) in enumerate(drawn.tolist()):
        low, high = paired_bootstrap(a, b, pictures, number)
        held += low <= 0.02 <= high
    assert 0.92 <= held / 300 <= 0.985


def test_a_million_pictures_take_no_longer_than_a_hundred() -> None:
    low, high = paired_bootstrap(40_000, 38_000, 1_000_000, seed=0)
    assert 0.001 < low < 0.002 < high < 0.003


def test_nothing_is_said_of_no_pictures() -> None:
    with pytest.raises(ValueError, match="no pictures"):
        paired_bootstrap(0, 0, 0, seed=0)
