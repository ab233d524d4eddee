"""Whether the pictures that arrive are still those the model was trained on. Pure, and the same for the same input.

With many pictures every difference is significant, with few a large one may be chance: drift is what is both large
(`threshold`) and no chance (P). Looks and embeddings are compared class by class, or a day of cats would be drift six times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_service.evaluation import two_samples
from model_service.evaluation.reference import Reference

FEWEST = 30  # pictures on either side; with fewer, no check says anything
P = 0.001  # of the seven checks together, fewer than one in a hundred evaluations is a false alarm
MOVED = 0.2  # of a look: the share of pictures that, at least, would have to change for the other distribution
STABILITY = 0.2  # of the class mix: the usual rule for the index is 0.1 a little, 0.2 much
TOLD_APART = 0.6  # of embeddings: as often right says that at least a fifth differ, as MOVED does
OUTSIDE, UNLIKE, SURE = (
    0.05,
    0.15,
    0.9,
)  # share of the validation part counted as unlike; of new ones; never if so confident
MOST = 1000  # pictures a side that are told apart
DIRECTIONS = 32
_SEED = 5


@dataclass(frozen=True)
class Arrived:
    """What arrived: n pictures whose label is sure. `probabilities` [n, classes]; looks, width and height [n].

    `embeddings` float16 [m, dimensions] are of the pictures that `sampled` [m] counts from 0; without it, of the first m.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float16] | None
    brightness: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    sampled: NDArray[np.int64] | None = None


class Found(NamedTuple):
    """What a check found: the size of the difference, its p-value, and a sentence."""

    value: float
    p: float
    text: str


def measure(reference: Reference, arrived: Arrived) -> dict[str, Any]:
    """Each check with its number, threshold, p-value and verdict "ok", "drift" or "too few"; and classes never seen."""
    checks = [
        _verdict("class mix", "population stability index of the classes", STABILITY, _class_mix(reference, arrived)),
        _verdict(
            "embedding", "how often old and new pictures are told apart", TOLD_APART, _embedding(reference, arrived)
        ),
        *_looks(reference, arrived),
        _verdict("out of distribution", "share of unusually unsure answers", UNLIKE, _outside(reference, arrived)),
    ]
    return {
        "drifted": any(check["verdict"] == "drift" for check in checks),
        "checks": checks,
        "new_classes": sorted(set(arrived.labels) - set(reference.counts)),
    }


def _verdict(name: str, what: str, threshold: float, found: Found | str) -> dict[str, Any]:
    """A check; of what there was too little of, only the sentence."""
    check = {"name": name, "what": what, "value": None, "p": None, "threshold": threshold, "verdict": "too few"}
    if isinstance(found, str):
        return check | {"text": found}
    drifted = found.value >= threshold and found.p < P
    return check | found._asdict() | {"verdict": "drift" if drifted else "ok"}


def _few(kept: int, new: int, what: str = "pictures") -> str | None:
    """The sentence for too little to compare."""
    if min(kept, new) >= FEWEST:
        return None
    return f"{kept} {what} of the training and {new} new ones can be compared: {FEWEST} of each are needed"


def _class_mix(reference: Reference, arrived: Arrived) -> Found | str:
    """Of all the training's pictures against all new ones whose class it had."""
    labels, counted = np.unique(np.array(arrived.labels, dtype=object), return_counts=True)
    tally = dict(zip(labels.tolist(), counted.tolist(), strict=True))
    old = np.array(list(reference.counts.values()), np.int64)
    new = np.array([tally.get(label, 0) for label in reference.counts], np.int64)
    if few := _few(int(old.sum()), int(new.sum())):
        return few
    shares = old / old.sum(), new / new.sum()
    most = int(np.abs(shares[1] - shares[0]).argmax())
    text = f"most changed: {reference.classes[most]}, {shares[1][most]:.0%} of the new pictures, {shares[0][most]:.0%} before"
    chance = np.random.default_rng(_SEED)
    return Found(two_samples.stability_index(old, new), two_samples.mix(old, new, chance), text)


def _embedding(reference: Reference, arrived: Arrived) -> Found | str:
    """Against the validation part alone: of what it learned from, the network sees more than of anything new."""
    if reference.embeddings is None or arrived.embeddings is None:
        return "there are no embeddings to compare"
    sampled = np.arange(len(arrived.embeddings)) if arrived.sampled is None else arrived.sampled
    labels = reference.labels[: reference.watched], [arrived.labels[i] for i in sampled]
    chance = np.random.default_rng(_SEED)
    old, new = two_samples.alike(labels, chance, even=True)
    if few := _few(len(old), len(new), "pictures of the same classes"):
        return few
    pairs = chance.permutation(len(old))[:MOST]
    value, p = two_samples.told_apart(reference.embeddings[old[pairs]], arrived.embeddings[new[pairs]], DIRECTIONS)
    return Found(
        value,
        p,
        f"a classifier told {value:.0%} of {2 * len(pairs)} pictures apart, of the same classes; a coin has 50%",
    )


def _looks(reference: Reference, arrived: Arrived) -> list[dict[str, Any]]:
    """Brightness, sharpness, size and shape: the medians in the sentence, the distance of the distributions in the number."""
    old, new = two_samples.alike((reference.labels, arrived.labels), np.random.default_rng(_SEED))
    few = _few(len(old), len(new), "pictures of the same classes")
    sides = [
        {
            "brightness": side.brightness,
            "sharpness": side.sharpness,
            "longer side": np.maximum(side.width, side.height),
            "aspect": side.width / side.height,
        }
        for side in (reference, arrived)
    ]
    checks = []
    for name, (what, form) in _LOOKS.items():
        found: Found | str = few or ""
        if not few:
            before, now = sides[0][name][old], sides[1][name][new]
            medians = (
                f"median {format(np.median(now), form)} in the new pictures, {format(np.median(before), form)} before"
            )
            found = Found(*two_samples.apart(before, now), medians)
        checks.append(_verdict(name, what, MOVED, found))
    return checks


_LOOKS = {
    "brightness": ("distance of the distributions of brightness", ".2f"),
    "sharpness": ("distance of the distributions of sharpness", ".4f"),
    "longer side": ("distance of the distributions of the longer side, in pixels", ".0f"),
    "aspect": ("distance of the distributions of width over height", ".2f"),
}


def _outside(reference: Reference, arrived: Arrived) -> Found | str:
    """New pictures of which the model is less sure than of nearly all the validation part; of any class, new ones too."""
    if few := _few(reference.watched, len(arrived.labels), "probabilities"):
        return few
    sure = reference.probabilities.max(axis=1), arrived.probabilities.max(axis=1)
    value, bound, p = two_samples.unlike(*sure, OUTSIDE, SURE)
    text = f"{value:.0%} of the new pictures are below {bound:.1%} probability; of the validation part, {OUTSIDE:.0%} at most"
    return Found(value, p, text)
