"""Figures: stacks of flat shapes in their own coordinates, painted once their place in the picture is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

_CIRCLE = [(math.cos(2 * math.pi * i / 22), math.sin(2 * math.pi * i / 22)) for i in range(22)]
_STEPS = (0.0, 0.25, 0.5, 0.75)


class Shape(NamedTuple):
    """One filled polygon; an edged one adds to the outline of its layer."""

    points: list[Point]
    fill: Colour
    edge: bool


@dataclass
class Figure:
    """Shapes in layers, y down: a layer's outline is painted before its fills, so that only its silhouette shows."""

    layers: list[list[Shape]] = field(default_factory=lambda: [[]])

    def layer(self) -> None:
        """Begin a new layer on top."""
        self.layers.append([])

    def polygon(self, points: Iterable[Point], fill: Colour, edge: bool = True) -> None:
        """Add a polygon."""
        self.layers[-1].append(Shape(list(points), fill, edge))

    def ellipse(
        self, centre: Point, rx: float, ry: float, fill: Colour, *, turn: float = 0.0, edge: bool = True
    ) -> None:
        """Add an ellipse, turned by `turn` degrees clockwise."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        cx, cy = centre
        points = [(cx + cos * rx * c - sin * ry * s, cy + sin * rx * c + cos * ry * s) for c, s in _CIRCLE]
        self.polygon(points, fill, edge)

    def curve(self, points: Sequence[Point], fill: Colour, *, edge: bool = True) -> None:
        """Add the smooth closed outline through the points."""
        closed = [points[-1], *points, points[0], points[1]]
        self.polygon(smooth(closed), fill, edge)

    def limb(self, path: Sequence[Point], widths: Sequence[float], fill: Colour, *, edge: bool = True) -> None:
        """Add a rounded stroke along a smooth path; the widths are given at the points of the path."""
        first, last = path[0], path[-1]
        centres = [*smooth([first, *path, last]), last]
        sizes = [w for a, b in itertools.pairwise(widths) for w in (a + (b - a) * t for t in _STEPS)]
        sizes.append(widths[-1])
        left: list[Point] = []
        right: list[Point] = []
        for i, ((x, y), size) in enumerate(zip(centres, sizes, strict=True)):
            (ax, ay), (bx, by) = centres[max(i - 1, 0)], centres[min(i + 1, len(centres) - 1)]
            length = math.hypot(bx - ax, by - ay) or 1.0
            nx, ny = (ay - by) / length * size / 2, (bx - ax) / length * size / 2
            left.append((x + nx, y + ny))
            right.append((x - nx, y - ny))
        self.polygon([*left, *_cap(left[-1], right[-1]), *reversed(right), *_cap(right[0], left[0])], fill, edge)

    def place(
        self, other: Figure, at: Point, scale: float = 1.0, turn: float = 0.0, mirror: bool = False, gap: bool = True
    ) -> None:
        """Put another figure on top of this one; without a gap its lowest layer joins this one's top layer."""
        cos, sin = math.cos(math.radians(turn)) * scale, math.sin(math.radians(turn)) * scale
        side = -1.0 if mirror else 1.0
        ax, ay = at
        for i, layer in enumerate(other.layers):
            if gap or i:
                self.layer()
            for points, fill, edge in layer:
                moved = [(ax + cos * side * x - sin * y, ay + sin * side * x + cos * y) for x, y in points]
                self.polygon(moved, fill, edge)

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of all shapes."""
        every = np.array([p for layer in self.layers for shape in layer for p in shape.points])
        (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def paint(self, draw: ImageDraw.ImageDraw, ink: Colour | None, width: int) -> None:
        """Draw the figure in its own coordinates; without ink there are no outlines."""
        for layer in self.layers:
            if ink is not None and width > 0:
                for points, _, edge in layer:
                    if edge:
                        draw.line([*points, points[0]], fill=ink, width=width)
            for points, fill, _ in layer:
                draw.polygon(points, fill=fill)


def smooth(points: Sequence[Point]) -> list[Point]:
    """Points of the Catmull-Rom spline from the second point to the one before the last, which is left out."""
    result: list[Point] = []
    for (ax, ay), (bx, by), (cx, cy), (dx, dy) in zip(points, points[1:], points[2:], points[3:], strict=False):
        for t in _STEPS:
            u, v = t * t, t * t * t
            wa, wb, wc, wd = -v + 2 * u - t, 3 * v - 5 * u + 2, -3 * v + 4 * u + t, v - u
            result.append(((wa * ax + wb * bx + wc * cx + wd * dx) / 2, (wa * ay + wb * by + wc * cy + wd * dy) / 2))
    return result


def _cap(start: Point, end: Point) -> list[Point]:
    """The inner points of the half circle that bulges out from start to end."""
    mx, my = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    rx, ry = start[0] - mx, start[1] - my
    return [(mx + rx * c + ry * s, my + ry * c - rx * s) for c, s in ((0.707, 0.707), (0.0, 1.0), (-0.707, 0.707))]
