"""Pictures of the size that cameras and phones give to websites, derived from small ones: as much to decode, all different."""

from __future__ import annotations

import itertools
import random
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from demo.pictures.batch import write_batch

PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "shared/data/animals"  # at hand in development only
SIDES = (0.8, 1.0, 1.0, 1.0, 1.25)  # longer sides, as shares of the one that is asked for; drawn from at random
_SHAPE = 3 / 4  # the shorter side's share of the longer
_NOISE = 7.0  # standard deviation, of 255: a sensor's, without which an enlarged picture would be too cheap to decode
_ORIENTATION = 0x0112  # the EXIF tag


def derive(
    folder: Path,
    origins: list[tuple[str, Path]],
    count: int,
    side: int,
    workers: int,
    shape: float = _SHAPE,
    sides: tuple[float, ...] = SIDES,
) -> None:
    """Write `<label>_<n>.jpg` files, each from one of the (label, picture), by turns, enlarged and with noise of its own.

    The longer sides are `side` pixels, their median, times what is drawn from `sides`; the shorter ones `shape` times as long.
    """
    chosen = list(itertools.islice(itertools.cycle(origins), count))
    jobs = [(folder / f"{label}_{n}.jpg", path, n, side, shape, sides) for n, (label, path) in enumerate(chosen)]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_derive, jobs, chunksize=20))


def origins(folder: Path, photographs: Path | None) -> tuple[list[tuple[str, Path]], str]:
    """Small pictures to derive from, as `labelled` gives them, and what they are: photographs, else drawings."""
    if photographs is None and not PHOTOGRAPHS.is_dir():
        write_batch(folder / "drawn", per_kind=40, seed=0, broken=False)
        return labelled(folder / "drawn"), "drawings"
    return labelled(photographs or PHOTOGRAPHS), "photographs"


def labelled(folder: Path) -> list[tuple[str, Path]]:
    """(label, picture) of `<label>/….jpg` or `<label>_<n>.jpg`, each label in its turn."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for path in sorted(folder.rglob("*.jpg")):
        label = path.parent.name if path.parent != folder else path.stem.rsplit("_", 1)[0]
        found.setdefault(label, []).append((label, path))
    turns = itertools.zip_longest(*found.values())
    return [origin for turn in turns for origin in turn if origin is not None]


def describe(folder: Path) -> str:
    """Number, median size and median bytes."""
    sizes, weights = [], []
    for path in folder.iterdir():
        with Image.open(path) as image:
            sizes.append(image.size)
        weights.append(path.stat().st_size)
    width, height = (statistics.median(sorted(side)) for side in zip(*map(sorted, sizes), strict=True))
    smallest, *_, largest = statistics.quantiles(weights, n=20)
    return (
        f"{len(weights)} JPEGs, median {height:.0f}×{width:.0f}, {statistics.median(weights) / 1e3:.0f} KB "
        f"(90 % of them {smallest / 1e3:.0f} to {largest / 1e3:.0f} KB)"
    )


def _derive(job: tuple[Path, Path, int, int, float, tuple[float, ...]]) -> None:
    to, origin, number, side, shape, sides = job
    chance = random.Random(number)
    generator = np.random.default_rng(number)
    longer = round(side * chance.choice(sides))
    size = longer, round(longer * shape)
    with Image.open(origin) as small:
        # A part of it, so that no two pictures look alike (near-duplicates are another matter).
        left, top = (chance.uniform(0, 0.15) * side for side in small.size)
        box = (left, top, left + 0.85 * small.width, top + 0.85 * small.height)
        image = small.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=box)
    image = ImageOps.mirror(image) if chance.random() < 0.5 else image
    grain = generator.integers(-128, 128, (64, 64, 3)) * (_NOISE / 74)  # 74: the standard deviation of those integers
    pixels = np.asarray(image, np.int16)
    rows, columns = (generator.permuted(np.arange(side) % 64) for side in pixels.shape[:2])
    noisy = (pixels + grain.astype(np.int16)[rows][:, columns]).clip(0, 255).astype(np.uint8)
    options: dict[str, Any] = {}
    if chance.random() < 0.15:  # held upright: the sensor's rows are the picture's columns
        options["exif"] = Image.Exif()
        options["exif"][_ORIENTATION] = 6
    Image.fromarray(noisy).save(to, "JPEG", quality=87, **options)
