"""How fast predict is, against how it is commonly done and against what the processors allow, and whether its memory is flat.

One run, side by side: in each round every way classifies the same pictures, 500 of 640×480 and 250 of 1920×1080, with the
same resnet34 at 224 pixels; medians of the rounds are told. Common ways get loose files and have their model loaded and
warm before the clock starts. Ours gets loose files in the same way, and shards by the step itself, a process of its own whose
clock runs while it loads its model, too; with imports and the start of Python it is told below the table. The limit is the
network alone and the decoding alone, each on all cores, one after the other (bench/limit.py). Then the website's start, the
size of its environment, and ever more pictures.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(REPO), str(REPO / "plugins")]  # in the place of this folder

from bench.predicting import limit, made, scale, start, ways  # noqa: E402
from bench.predicting.made import Model, Pictures  # noqa: E402

LOOPED = 20  # pictures of each size for the loop of learn.predict; its time for all is in proportion
PLOT = REPO / "bench/out/predict.png"
FASTAI = "fastai get_preds"


@dataclass
class Row:
    """A line of the table; `run` gives the seconds for all pictures of one size, by `source`."""

    way: str
    source: str
    run: Callable[[Pictures], float]
    does: str = ""
    step: ways.Step | None = None
    told: bool = False  # by the last line
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def once(self, pictures: Pictures) -> float:
        """Pictures a second."""
        self.seconds.setdefault(pictures.name, []).append(self.run(pictures))
        return self.count(pictures) / self.seconds[pictures.name][-1]

    def count(self, pictures: Pictures) -> int:
        return pictures.packed if self.source == "shards" else len(pictures.files)

    def median(self, pictures: Pictures) -> float:
        return statistics.median(self.seconds[pictures.name])

    def rate(self, pictures: list[Pictures]) -> float:
        """Pictures a second, of all sizes together."""
        return sum(map(self.count, pictures)) / sum(map(self.median, pictures))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are taken (default: 5)")
    parser.add_argument("--quick", action="store_true", help="90 pictures, one round, up to 1,000 pictures")
    parser.add_argument("--brief", action="store_true", help="only the ways that the last line tells of")
    parser.add_argument("--photographs", type=Path, help="folder of <label>/*.jpg to derive the pictures from")
    given = parser.parse_args()
    repeats, sizes, counts = (
        (1, made.QUICK, scale.COUNTS[:2]) if given.quick else (given.repeats, made.FULL, scale.COUNTS)
    )
    if repeats < 1:
        parser.error("at least one repeat is needed")
    # The claims are about processors; and others' packages warn of what only they can change.
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory(prefix="menagerie-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        pictures, model = made.make(folder, given.photographs, sizes, side=224)
        rows = table(pictures, model, 0.5 if given.quick else 2.0, stack)
        rows = [row for row in rows if row.told or not given.brief]
        for number in range(1, repeats + 1):
            for row in rows:
                for some in pictures:
                    told = f"round {number}: {row.way}, {some.name}, {row.source}"
                    print(f"{told}: {row.once(some):.1f}/s", flush=True)
        found = tell(rows, pictures)
        found["start_s"] = tell_start(model, pictures[0].files[0], repeats)
        small = made.train(model.models, scale.SIDE)
        found["memory_growth"] = tell_scale(scale.Bucket(folder, small, pictures[0]), counts)
    print(json.dumps({"bench": "predict", **{key: value and round(value, 2) for key, value in found.items()}}))
    return 0


def table(pictures: list[Pictures], model: Model, seconds: float, stack: ExitStack) -> list[Row]:
    """All ways, ready; the network and decoding are each measured for so many seconds, for a limit."""
    few, every = pictures[0].files[:16], [path for some in pictures for path in some.files]

    def ready(make: Callable[..., ways.Classify], *given: object) -> ways.Way:
        way = ways.Way(make, model, *given, few=few)
        stack.callback(way.close)
        return way

    def on_files(way: ways.Way, some: Pictures) -> float:
        return way.seconds(some.files)

    def looped(way: ways.Way, some: Pictures) -> float:
        files = some.files[:LOOPED]
        return way.seconds(files) * len(some.files) / len(files)

    on = functools.partial
    rows = [
        Row(FASTAI, "files", on(on_files, ready(ways.get_preds, every)), told=True),
        Row(
            "fastai predict",
            "files",
            on(looped, ready(ways.predict_loop, every)),
            f"{LOOPED} of each size, in proportion",
        ),
        Row("torch DataLoader", "files", on(on_files, ready(ways.data_loader)), "fp32 eager"),
        Row("ONNX Runtime", "files", on(on_files, ready(ways.onnx_runtime)), "fp32, our decoding"),
    ]
    for precision in limit.precisions():
        step, told = ways.Step(model, precision), precision != "f32"
        rows.append(Row(f"ours {precision}", "files", on(on_files, ready(ways.ours, precision)), "its pipeline alone"))
        rows.append(Row(f"ours {precision}", "shards", step.seconds, "the step, end to end", step, told))
        batch, streams, _ = limit.best(model, precision, seconds)
        network = limit.Forward(model, precision, batch, streams)
        for source in ("files", "shards"):
            does = f"batch {batch}, {streams} streams; decoding"
            least = on(limited, network, model, source, seconds)
            rows.append(Row(f"limit {precision}", source, least, does, told=told and source == "shards"))
    return rows


def limited(network: limit.Forward, model: Model, source: str, seconds: float, some: Pictures) -> float:
    """The seconds that the processors need for them at least."""
    decode = limit.Decode(model.card["preprocessing"]["size"], some, source)
    count = some.packed if source == "shards" else len(some.files)
    return count / limit.combined(network.rate(seconds), decode.rate(seconds))


def tell(rows: list[Row], pictures: list[Pictures]) -> dict[str, float | None]:
    """Print the table; of each precision, ours from shards against fastai and against the limit. None: no such processor."""
    rates = {(row.way, row.source): row.rate(pictures) for row in rows}
    names = "".join(f"{some.name:>11}" for some in pictures)
    print(f"\npictures/s{'':10}{'from':8}{names}{'both':>9}{'vs fastai':>11}{'of limit':>10}   does")
    for row in rows:
        each = "".join(f"{row.count(some) / row.median(some):11.1f}" for some in pictures)
        rate = rates[row.way, row.source]
        most = rates.get((row.way.replace("ours", "limit"), row.source)) if row.way.startswith("ours") else None
        share = f"{rate / most:10.0%}" if most else f"{'':10}"
        print(f"{row.way:20}{row.source:8}{each}{rate:9.1f}{rate / rates[FASTAI, 'files']:10.1f}x{share}   {row.does}")
    for row in rows:
        if row.step:
            inside, whole = (row.step.rate(pictures, which) for which in (0, 1))
            print(f"{row.way} from shards, pictures/s: {inside:.1f} with imports, {whole:.1f} of the whole process")
    if len(limit.precisions()) < 3:
        print("this machine's processors have no bf16: there it is not measured, and null below")
    found: dict[str, float | None] = {}
    for precision in ("bf16", "int8"):
        ours = rates.get((f"ours {precision}", "shards"))
        found[f"{precision}_vs_fastai"] = ours and ours / rates[FASTAI, "files"]
    for precision in ("bf16", "int8"):
        ours = rates.get((f"ours {precision}", "shards"))
        found[f"{precision}_of_limit"] = ours and ours / rates[f"limit {precision}", "shards"]
    return found


def tell_start(model: Model, picture: Path, repeats: int) -> float:
    """Print how long the website takes to be ready, and how large it is; the seconds."""
    seconds = statistics.median(start.seconds(model, picture) for _ in range(repeats))
    print(f"\nfrom the start of a process to its first prediction: {seconds:.2f} s")
    size = start.megabytes()
    if isinstance(size, str):
        print(f"size of the website's environment: not measured, {size}")
    else:
        largest = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in size.largest)
        print(f"size of the website's environment: {size.total:.0f} MB ({largest}, …)")
    return seconds


def tell_scale(bucket: scale.Bucket, counts: tuple[int, ...]) -> float:
    """Print and plot time and memory by the number of pictures; by how much the peak grows from the fewest to the most."""
    print(f"\nint8 at {scale.SIDE} pixels, the same shard again and again, one process:")
    print(f"{'pictures':>10}{'seconds':>10}{'pictures/s':>12}{'peak, MB':>10}")
    taken = []
    for count in counts:
        taken.append(one := bucket.measure(count))
        print(f"{count:10,}{one.seconds:10.1f}{count / one.seconds:12.1f}{one.peak / 1e6:10.0f}", flush=True)
    for less, more in itertools.pairwise(taken):
        each = (more.seconds - less.seconds) / (more.pictures - less.pictures)
        print(f"from {less.pictures:,} to {more.pictures:,}: {each * 1e3:.2f} ms each")
    scale.plot(taken, PLOT)
    print(f"plotted in {PLOT.relative_to(REPO)}; memory_growth is the last peak by the first")
    return taken[-1].peak / taken[0].peak


if __name__ == "__main__":
    sys.exit(main())
