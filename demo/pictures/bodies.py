"""Bodies: six sets of proportions for the same four poses; the ground is at y = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from demo.pictures.coats import BLACK, Coat
from demo.pictures.figure import Figure, Point
from demo.pictures.markings import mark_body, mark_neck
from demo.pictures.tails import tail


@dataclass(frozen=True)
class Build:
    """Proportions: half length and half depth of the trunk, legs, neck (degrees above level), head."""

    kind: str
    half: float
    deep: float
    leg: float
    leg_width: float
    neck: float
    neck_angle: float
    neck_width: float
    head: float
    sits: bool


BUILDS = {
    build.kind: build
    for build in (
        Build("cat", 0.42, 0.17, 0.27, 0.095, 0.15, 40, 0.26, 0.24, True),
        Build("dog", 0.42, 0.19, 0.38, 0.12, 0.25, 50, 0.27, 0.22, True),
        Build("elephant", 0.55, 0.38, 0.42, 0.24, 0.16, 20, 0.55, 0.33, False),
        Build("giraffe", 0.36, 0.22, 0.72, 0.085, 1.0, 68, 0.20, 0.165, False),
        Build("horse", 0.52, 0.23, 0.60, 0.10, 0.46, 48, 0.30, 0.185, False),
        Build("panda", 0.46, 0.31, 0.24, 0.21, 0.12, 25, 0.42, 0.29, True),
    )
}


def _leg(rng: Random, figure: Figure, top: Point, swing: float, width: float, coat: Coat, far: bool, kind: str) -> None:
    x, y = top
    knee = (x + swing * 0.35 + rng.uniform(-0.02, 0.02), y * 0.5)
    colour = coat.far if far else coat.legs
    figure.limb([top, knee, (x + swing, -width * 0.3)], [width * 1.35, width, width * 0.85], colour)
    if coat.marking != "panda":
        hoof = BLACK if kind == "horse" else colour
        figure.ellipse((x + swing + width * 0.15, -width * 0.22), width * 0.6, width * 0.32, hoof)


def _neck(figure: Figure, path: Sequence[Point], build: Build, coat: Coat) -> None:
    colour = coat.mark if coat.marking == "panda" else coat.base
    figure.limb(path, [build.neck_width * 1.3, build.neck_width, build.neck_width * 0.85], colour)
    mark_neck(figure, path, build.neck_width, coat)


def standing_side(rng: Random, build: Build, coat: Coat) -> tuple[Figure, Point]:
    """Walking to the right; returns the figure and where its head goes."""
    figure, half, deep = Figure(), build.half * rng.uniform(0.92, 1.1), build.deep * rng.uniform(0.92, 1.1)
    leg, width = build.leg * rng.uniform(0.88, 1.1), build.leg_width * rng.uniform(0.9, 1.15)
    middle, stride = -(leg + deep), leg * rng.uniform(0.05, 0.4)
    for x, way in ((-0.62, 1), (0.78, -1)):
        _leg(rng, figure, (half * x, middle + deep * 0.3), way * stride, width, coat, far=True, kind=build.kind)
    figure.layer()
    tail(rng, figure, (-half * 0.94, middle - deep * 0.35), build.kind, build.leg + build.deep, coat)
    figure.layer()
    back = rng.uniform(-0.12, 0.12) * deep
    trunk = [(-1.0, -0.3), (-0.7, -0.95), (0.0, -0.9), (0.7, -1.0), (1.02, -0.3), (0.8, 0.75), (0.0, 0.9), (-0.75, 0.8)]
    figure.curve([(half * x, middle + deep * y + (back if x == 0 else 0)) for x, y in trunk], coat.base)
    mark_body(rng, figure, (0.0, middle), half, deep, coat)
    for x, way in ((-0.74, -1), (0.66, 1)):
        _leg(
            rng,
            figure,
            (half * x, middle + deep * 0.35),
            way * stride * rng.uniform(0.6, 1.2),
            width,
            coat,
            far=False,
            kind=build.kind,
        )
    angle = math.radians(build.neck_angle + rng.uniform(-14, 12))
    if build.kind == "horse" and rng.random() < 0.15:
        angle = math.radians(rng.uniform(-25, 5))
    base = (half * 0.74, middle - deep * 0.4)
    head = (base[0] + math.cos(angle) * build.neck, base[1] - math.sin(angle) * build.neck)
    bend = ((base[0] + head[0]) / 2 + build.neck * 0.06, (base[1] + head[1]) / 2 + build.neck * 0.05)
    _neck(figure, (base, bend, head), build, coat)
    return figure, head


def standing_front(rng: Random, build: Build, coat: Coat) -> tuple[Figure, Point]:
    """Standing and facing the viewer."""
    figure, deep, leg = Figure(), build.deep * rng.uniform(0.95, 1.15), build.leg * rng.uniform(0.88, 1.1)
    middle, width = -(leg + deep), build.leg_width * 1.1
    tail(rng, figure, (-deep * 0.7, middle), build.kind, build.leg + build.deep, coat)
    figure.layer()
    for side in (-1, 1):
        _leg(
            rng,
            figure,
            (side * deep * 0.55, middle + deep * 0.3),
            side * 0.04,
            width * 0.95,
            coat,
            far=True,
            kind=build.kind,
        )
    figure.layer()
    figure.ellipse((0, middle), deep * 0.92, deep * 1.1, coat.base)
    mark_body(rng, figure, (0.0, middle), deep * 0.92, deep * 1.1, coat)
    for side in (-1, 1):
        swing = rng.uniform(-0.06, 0.06)
        _leg(rng, figure, (side * deep * 0.5, middle + deep * 0.45), swing, width, coat, far=False, kind=build.kind)
    up = build.neck * rng.uniform(0.75, 1.0)
    head = (rng.uniform(-0.12, 0.12) * build.neck, middle - deep * 0.75 - up * 0.85)
    _neck(figure, ((0.0, middle - deep * 0.4), (head[0] * 0.3, (middle + head[1]) / 2), head), build, coat)
    return figure, head


def sitting(rng: Random, build: Build, coat: Coat) -> tuple[Figure, Point]:
    """Sitting upright, turned a little to the right."""
    figure, lean = Figure(), rng.uniform(0.0, 0.22)
    wide, high = (build.deep + 0.1) * rng.uniform(0.92, 1.1), (build.leg + build.half) * rng.uniform(0.85, 1.0)
    tail(rng, figure, (-wide * 0.9, -0.1), build.kind, high, coat)
    figure.layer()
    pear = [
        (-1.0, -0.16),
        (-0.85, -0.6),
        (-0.45, -1.0),
        (0.45, -1.0),
        (0.75, -0.55),
        (0.95, -0.15),
        (0.5, 0),
        (-0.6, 0),
    ]
    figure.curve([(wide * x - lean * y, high * y) for x, y in pear], coat.base)
    mark_body(rng, figure, (lean * high * 0.5, -high * 0.5), wide * 0.75, high * 0.42, coat)
    top = -high * 0.72
    panda = coat.marking == "panda"
    for side in (-1, 1):
        haunch = (side * wide * 0.8, -wide * 0.28)
        figure.ellipse(haunch, wide * 0.45, wide * 0.3, coat.legs if panda else coat.base)
    figure.layer()
    for side in (-1, 1):
        x = lean * high * 0.5 + side * wide * (0.75 if panda else 0.36)
        reach = rng.uniform(-0.4, 0.1) * wide * side if panda else 0.0
        foot = (x + reach, top * 0.35 if panda else -build.leg_width * 0.4)
        figure.limb([(x, top), ((x + foot[0]) / 2, (top + foot[1]) / 2), foot], [build.leg_width * 1.1] * 3, coat.legs)
    head = (lean * high, -high - build.head * rng.uniform(0.45, 0.7))
    return figure, head


def bust(rng: Random, build: Build, coat: Coat) -> tuple[Figure, Point]:
    """Head and shoulders only: the head is what counts."""
    figure, long = Figure(), build.head * rng.uniform(1.6, 2.4) + build.neck * 0.3
    wide = build.neck_width * rng.uniform(0.9, 1.1)
    lean = rng.uniform(0.0, 0.4) * long
    colour = coat.mark if coat.marking == "panda" else coat.base
    path = ((-lean, 0.0), (-lean * 0.6, -long * 0.5), (0.0, -long))
    figure.limb(path, [wide * 1.9, wide * 1.15, wide * 0.95], colour)
    mark_neck(figure, path, wide, coat)
    return figure, (0.0, -long)
