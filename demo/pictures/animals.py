"""Animals: a body, a head and a coat put together in one of the poses that the kind takes."""

from __future__ import annotations

from random import Random

from demo.pictures import heads_front, heads_side
from demo.pictures.bodies import BUILDS, bust, sitting, standing_front, standing_side
from demo.pictures.coats import coat
from demo.pictures.figure import Figure
from demo.pictures.tails import mane

KINDS = ("cat", "dog", "elephant", "giraffe", "horse", "panda")


def animal(rng: Random, kind: str) -> tuple[Figure, bool]:
    """A figure of the kind, looking right or at the viewer, and whether it is a whole one: a bust is cut off below."""
    build, colours = BUILDS[kind], coat(rng, kind)
    roll = rng.random()
    if roll < 0.5:
        body, facing = standing_side, rng.random() < 0.2
    elif roll < 0.7:
        body, facing = (sitting, rng.random() < 0.6) if build.sits else (standing_front, True)
    elif roll < 0.8:
        body, facing = standing_front, True
    else:
        body, facing = bust, rng.random() < 0.55
    figure, at = body(rng, build, colours)
    if kind == "horse" and not facing:
        mane(rng, figure, (at[0] - 0.1, at[1] - 0.1), (at[0] - 0.36, at[1] + 0.42), build.neck_width, colours)
    heads = heads_front.HEADS if facing else heads_side.HEADS
    size = build.head * rng.uniform(0.92, 1.12)
    figure.place(heads[kind](rng, colours), at, size, rng.uniform(-14, 14))
    return figure, body is not bust
