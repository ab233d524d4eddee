"""Markings: stripes, blotches and patches upon trunk and neck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from demo.pictures.coats import Coat
from demo.pictures.figure import Figure, Point


def mark_body(rng: Random, figure: Figure, middle: Point, half: float, deep: float, coat: Coat) -> None:
    """Mark a trunk, taken to be an ellipse."""
    x, y = middle
    if coat.marking == "striped":
        for i in range(6):
            at, size = -0.72 + 0.28 * i, rng.uniform(0.25, 0.6)
            top = -0.86 * math.sqrt(max(0.0, 1 - at * at)) * deep
            path = [(x + at * half, y + top), (x + (at - 0.05) * half, y + top + size * deep)]
            figure.limb(path, [deep * 0.26, deep * 0.08], coat.mark, edge=False)
    elif coat.marking == "patched":
        for _ in range(rng.randint(1, 3)):
            turn, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 0.45)
            spot = (x + math.cos(turn) * away * half, y + math.sin(turn) * away * deep)
            figure.ellipse(spot, half * rng.uniform(0.18, 0.42), deep * rng.uniform(0.3, 0.5), coat.mark, edge=False)
    elif coat.marking == "giraffe":
        _cells(rng, figure, middle, half, deep, coat)
    elif coat.marking == "panda":
        if half > deep:
            band = [(0.3, -0.9), (0.85, -0.92), (0.98, -0.2), (0.8, 0.7), (0.35, 0.8), (0.42, 0.0)]
        else:
            band = [(-0.75, -0.95), (0.75, -0.95), (1.0, -0.5), (0.6, -0.3), (-0.6, -0.3), (-1.0, -0.5)]
        figure.curve([(x + half * a, y + deep * b) for a, b in band], coat.mark, edge=False)


def _cells(rng: Random, figure: Figure, middle: Point, half: float, deep: float, coat: Coat) -> None:
    """Irregular patches with light lanes between them, on a shifted grid."""
    x, y = middle
    size = deep * rng.uniform(0.34, 0.46)
    lane = rng.uniform(0.38, 0.46)
    for row in range(-2, 3):
        for column in range(-4, 5):
            cx, cy = (column + 0.5 * (row % 2)) * size * 1.05, row * size * 0.95
            if (cx / (half - size * 0.4)) ** 2 + (cy / (deep - size * 0.25)) ** 2 < 0.9:
                turn = rng.uniform(0, 1)
                corners = [(turn + k * 1.257, size * lane * rng.uniform(0.95, 1.35)) for k in range(5)]
                cell = [(x + cx + math.cos(a) * r, y + cy + math.sin(a) * r) for a, r in corners]
                figure.polygon(cell, coat.mark, edge=False)


def mark_neck(figure: Figure, path: Sequence[Point], width: float, coat: Coat) -> None:
    """Patches on the neck of a giraffe; those of other kinds stay plain."""
    if coat.marking != "giraffe":
        return
    (ax, ay), (bx, by) = path[0], path[-1]
    length = math.hypot(bx - ax, by - ay) or 1.0
    nx, ny = (ay - by) / length, (bx - ax) / length
    rows = max(2, round(length / (width * 0.62)))
    for i in range(rows):
        share = (i + 0.4) / rows
        for side in (-0.27, 0.27):
            offset = side * width * (1.0 if i % 2 else 0.8)
            at = (ax + (bx - ax) * share + nx * offset, ay + (by - ay) * share + ny * offset + (side * width * 0.3))
            figure.ellipse(at, width * 0.2, width * 0.23, coat.mark, edge=False)
