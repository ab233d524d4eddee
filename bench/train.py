"""How fast train is, against fastai as its documentation begins, and whether what it learns is as good.

One run, side by side: for each seed both ways train a resnet34 from scratch on the same pictures (640×480, or of another
`--width`), for the same epochs, at the same size and batch size, watching the same validation part. fastai gets loose files
(`ImageDataLoaders.from_folder`, `vision_learner`, `fit_one_cycle`, its defaults); ours gets shards, decodes them, and trains
as the step does. Each has a process of its own, with all imports done before its clock starts. The time of our exports, for
which fastai has no equal, is told apart. When all is done both are scored on the same pictures, that neither has seen.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(REPO), str(REPO / "plugins")]  # in the place of this folder

import menagerie_contract as contract  # noqa: E402

from bench.training import made, ways  # noqa: E402
from bench.training.ways import Told, Took, Way  # noqa: E402

WAYS: dict[str, Way] = {"fastai": ways.fastai, "ours": ways.ours}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="passes over the pictures (default: 10; quick: 2)")
    parser.add_argument("--side", type=int, help="side of what the network sees, in pixels (default: 224; quick: 128)")
    parser.add_argument("--batch", type=int, default=32, help="pictures of a batch (default: 32)")
    parser.add_argument("--seeds", type=int, help="trainings of each way (default: 3; quick: 1)")
    parser.add_argument("--pictures", type=int, help="pictures, held out ones among them (default: 1000; quick: 240)")
    parser.add_argument("--width", type=int, default=640, help="of a picture's file, in pixels (default: %(default)s)")
    parser.add_argument("--photographs", type=Path, help="folder of <label>/*.jpg to derive the pictures from")
    parser.add_argument(
        "--progressive",
        type=float,
        default=contract.Train.progressive,
        help="our share of epochs at smaller sides (default: the step's, %(default)s)",
    )
    parser.add_argument("--gpu", action="store_true", help="use a graphics card; else the claim is about processors")
    parser.add_argument("--quick", action="store_true", help="a minute or two, which says little of accuracy")
    given = parser.parse_args()
    epochs, side, seeds, count = (
        default if value is None else value
        for value, default in zip(
            (given.epochs, given.side, given.seeds, given.pictures),
            (2, 128, 1, 240) if given.quick else (10, 224, 3, 1000),
            strict=True,
        )
    )
    if not 0 <= given.progressive <= 0.9:
        parser.error("--progressive is a share from 0 to 0.9")
    if min(epochs, seeds) < 1:
        parser.error("at least one epoch and one seed are needed")
    os.environ |= {"PYTHONWARNINGS": "ignore"} | ({} if given.gpu else {"CUDA_VISIBLE_DEVICES": ""})
    with tempfile.TemporaryDirectory(prefix="menagerie-bench-") as name:
        pictures = made.make(Path(name), given.photographs, count, given.width)
        took: dict[str, list[Took]] = {way: [] for way in WAYS}
        for seed in range(seeds):
            order = list(WAYS) if seed % 2 == 0 else list(reversed(WAYS))  # neither is always the first
            for way in order:
                one = ways.run(WAYS[way], Told(pictures, epochs, side, given.batch, seed, given.progressive))
                took[way].append(one)
                print(f"seed {seed}: {way}, {_words(one, epochs)}", flush=True)
    print(json.dumps({"bench": "train", **tell(took, epochs, side)}))
    return 0


def tell(took: dict[str, list[Took]], epochs: int, side: int) -> dict[str, float]:
    """Print the table of means; the ratio of the seconds, and how many points of accuracy ours has more (in shares of 1)."""
    names = f"{'seconds':>9}{'pictures/s':>12}{'vs fastai':>11}{'accuracy':>10}{'exports, s':>12}"
    print(f"\n{f'{epochs} epochs at {side} px':22}{names}")
    seconds = {way: statistics.mean(one.seconds for one in some) for way, some in took.items()}
    accuracy = {way: statistics.mean(one.accuracy for one in some) for way, some in took.items()}
    for way, some in took.items():
        rate = statistics.mean(one.pictures for one in some) * epochs / seconds[way]
        exports = statistics.mean(one.exports for one in some)
        ratio = seconds["fastai"] / seconds[way]
        print(f"{way:22}{seconds[way]:9.1f}{rate:12.1f}{ratio:10.2f}x{accuracy[way]:10.1%}{exports:12.1f}")
    ratios = [theirs.seconds / ours.seconds for theirs, ours in zip(took["fastai"], took["ours"], strict=True)]
    print("seed by seed:", ", ".join(f"{ratio:.2f}x" for ratio in ratios))
    gap = accuracy["ours"] - accuracy["fastai"]
    return {"vs_fastai": round(statistics.median(ratios), 2), "accuracy_gap": round(gap, 4)}


def _words(one: Took, epochs: int) -> str:
    exports = f", exports {one.exports:.0f} s more" if one.exports else ""
    return (
        f"{one.pictures * epochs / one.seconds:.1f} pictures/s, {one.seconds:.0f} s{exports}, {one.accuracy:.1%} right"
    )


if __name__ == "__main__":
    sys.exit(main())
