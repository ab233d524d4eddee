"""Coats: the colours and markings of one animal."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from demo.pictures.figure import Colour

BLACK: Colour = (28, 26, 28)
WHITE: Colour = (238, 234, 226)
PINK: Colour = (222, 140, 140)

# Cats, dogs and horses share these colours: a colour may hint at the kind but must never tell it.
_SHARED: tuple[Colour, ...] = (
    (124, 80, 46),
    (84, 56, 38),
    (48, 44, 46),
    (226, 220, 210),
    (204, 128, 58),
    (140, 138, 140),
    (216, 186, 140),
    (164, 120, 82),
)
_USUAL = {
    "cat": (_SHARED[4], _SHARED[5], _SHARED[2]),
    "dog": (_SHARED[6], _SHARED[3], _SHARED[7]),
    "horse": (_SHARED[0], _SHARED[1], _SHARED[0]),
}
_GIRAFFE: tuple[Colour, ...] = ((228, 188, 120), (238, 214, 166), (206, 160, 92), (222, 200, 170))
_GIRAFFE_PATCH: tuple[Colour, ...] = ((148, 84, 36), (110, 64, 36), (176, 104, 44), (84, 56, 44))
_ELEPHANT: tuple[Colour, ...] = ((134, 134, 140), (112, 110, 112), (150, 140, 128), (132, 112, 96), (92, 92, 100))


@dataclass(frozen=True)
class Coat:
    """The colours of one animal: `far` for what lies in shade, `hair` for mane, ears and tail, `mark` for markings."""

    base: Colour
    far: Colour
    light: Colour
    hair: Colour
    mark: Colour
    legs: Colour
    eye: Colour
    marking: str


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """A colour that is `share` of the way from a to b."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def vary(rng: Random, colour: Colour, amount: float = 0.12) -> Colour:
    """The colour made a little lighter or darker, and a little off in each channel."""
    all_channels = rng.uniform(1 - amount, 1 + amount)
    r, g, b = (max(0, min(255, round(c * all_channels * rng.uniform(0.95, 1.05)))) for c in colour)
    return r, g, b


def coat(rng: Random, kind: str) -> Coat:
    """A coat that an animal of the kind may have."""
    if kind == "panda":
        white, black = vary(rng, WHITE, 0.07), vary(rng, BLACK, 0.2)
        return Coat(white, black, blend(white, (255, 255, 255), 0.4), black, black, black, (60, 42, 30), "panda")
    if kind == "elephant":
        base = vary(rng, rng.choice(_ELEPHANT))
        far = blend(base, BLACK, 0.35)
        return Coat(base, far, blend(base, WHITE, 0.25), blend(base, BLACK, 0.18), far, base, (40, 30, 26), "plain")
    if kind == "giraffe":
        base, patch = vary(rng, rng.choice(_GIRAFFE)), vary(rng, rng.choice(_GIRAFFE_PATCH))
        legs = blend(base, WHITE, rng.uniform(0.0, 0.4))
        return Coat(base, blend(base, BLACK, 0.3), blend(base, WHITE, 0.4), patch, patch, legs, BLACK, "giraffe")
    colours = _USUAL[kind] if rng.random() < 0.7 else _SHARED
    base, other = vary(rng, rng.choice(colours)), vary(rng, rng.choice((*_SHARED, WHITE, BLACK)))
    hair = rng.choice((base, blend(base, BLACK, 0.55), blend(base, WHITE, 0.45), other))
    if kind == "horse":
        hair = rng.choice((blend(base, BLACK, 0.7), blend(base, BLACK, 0.45), blend(base, WHITE, 0.7), other))
    elif kind == "dog":
        hair = blend(rng.choice((base, other)), BLACK, rng.uniform(0.2, 0.6))
    marking = rng.choice(("plain", "plain", "patched", "striped" if kind == "cat" else "plain", "patched"))
    if kind == "cat" and rng.random() < 0.45:
        marking = "striped"
    legs = rng.choice((base, base, blend(base, BLACK, 0.4), WHITE))
    eyes: tuple[Colour, ...] = ((70, 44, 26), (40, 30, 26))
    if kind == "cat":
        eyes = ((120, 160, 60), (200, 160, 50), (110, 160, 190))
    mark = blend(base, BLACK, 0.45) if marking == "striped" else other
    return Coat(
        base, blend(base, BLACK, 0.35), blend(base, WHITE, 0.35), hair, mark, legs, vary(rng, rng.choice(eyes)), marking
    )
