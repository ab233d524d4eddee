"""Tails and manes."""

from __future__ import annotations

from random import Random

from demo.pictures.coats import BLACK, Coat, blend
from demo.pictures.figure import Figure, Point


def tail(rng: Random, figure: Figure, root: Point, kind: str, tall: float, coat: Coat) -> None:
    """A tail that starts at the root and points to the left, for an animal so tall."""
    x, y = root
    if kind == "cat":
        up, out = rng.uniform(0.2, 0.65), rng.uniform(0.2, 0.45)
        path = [
            (x + 0.05, y),
            (x - out * 0.7, y + 0.03),
            (x - out, y - up * 0.6),
            (x - out + rng.uniform(-0.2, 0.2), y - up),
        ]
        figure.limb(path, [0.09, 0.085, 0.08, 0.07], coat.hair)
    elif kind == "dog":
        up = rng.uniform(0.1, 0.32)
        path = [(x + 0.05, y), (x - 0.15, y - up * 0.5), (x - rng.uniform(0.12, 0.3), y - up)]
        figure.limb(path, [0.11, 0.1, 0.04], coat.hair)
    elif kind == "horse":
        out = rng.uniform(0.08, 0.25)
        path = [(x + 0.05, y), (x - out, y + tall * 0.25), (x - out * rng.uniform(0.6, 1.3), y + tall * 0.72)]
        figure.limb(path, [0.09, 0.19, 0.09], coat.hair)
    elif kind == "panda":
        figure.ellipse((x, y + 0.1), 0.09, 0.08, coat.base)
    else:
        end = (x - rng.uniform(0.08, 0.2), y + tall * 0.45)
        figure.limb([(x + 0.05, y), (x - 0.08, y + tall * 0.2), end], [0.06, 0.035, 0.03], coat.base)
        figure.ellipse((end[0], end[1] + 0.05), 0.04, 0.08, blend(coat.hair, BLACK, 0.4))


def mane(rng: Random, figure: Figure, head: Point, back: Point, width: float, coat: Coat) -> None:
    """Hair hanging along the neck from the head to the back."""
    (hx, hy), (bx, by) = head, back
    middle = ((hx + bx) / 2 - width * 0.35, (hy + by) / 2)
    thick = width * rng.uniform(0.4, 0.65)
    figure.limb([head, middle, back], [thick * 0.8, thick, thick * 0.5], coat.hair, edge=False)
