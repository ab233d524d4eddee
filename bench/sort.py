"""How fast sort is, against how it is commonly done and against what the processors allow, and whether its memory is flat.

One run, side by side: in each round every way takes on the same pictures, on a local folder and on the tests' Cloud Storage
server (a process of its own on this machine), without and with 20 ms added to each request; medians of the rounds are told.
Where a way only copies it is said; ours reads, checks, hashes, decodes, packs and copies.
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

from bench.sorting import limit, memory, pictures, ways  # noqa: E402
from bench.sorting.server import Server, serving  # noqa: E402

DELAY = 0.02  # seconds


@dataclass
class Row:
    """A line of the table; `run` gives the seconds for all pictures."""

    way: str
    where: str
    run: Callable[[], float]
    does: str = "copies only"
    told: bool = False  # by the last line
    seconds: list[float] = field(default_factory=list)
    refused: str = ""

    def once(self) -> None:
        try:
            self.seconds.append(self.run())
        except ways.CannotRun as error:
            self.refused = str(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000, help="how many are sorted (default: 2000)")
    parser.add_argument("--side", type=int, default=640, help="median of their longer sides, in pixels (default: 640)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are taken (default: 5)")
    parser.add_argument("--quick", action="store_true", help="100 pictures, one round, memory to 10,000 objects only")
    parser.add_argument("--brief", action="store_true", help="only the ways that the last line tells of")
    parser.add_argument("--photographs", type=Path, help="folder of <label>/*.jpg to derive the pictures from")
    given = parser.parse_args()
    count, repeats = (100, 1) if given.quick else (given.pictures, given.repeats)
    if count < memory.NEW or repeats < 1:
        parser.error(f"at least {memory.NEW} pictures and one repeat are needed")
    sizes = memory.SORTED[:-1] if given.quick else memory.SORTED
    os.environ["PYTHONWARNINGS"] = "ignore"
    with tempfile.TemporaryDirectory(prefix="menagerie-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        source = make_pictures(folder, given.photographs, count, given.side)
        servers = [stack.enter_context(serving(delay)) for delay in (0.0, DELAY)]
        rows = [row for row in table(source, servers) if row.told or not given.brief]
        for number in range(1, repeats + 1):
            for row in rows:
                if not row.refused:
                    row.once()
                    rate = row.refused or f"{count / row.seconds[-1]:.1f}/s"
                    print(f"round {number}: {row.way}, {row.where}: {rate}", flush=True)
        of_limit, vs_naive = tell(rows, count)
        growth = tell_memory(folder, sorted(source.iterdir()), sizes)
    found = {"of_limit": of_limit, "vs_naive": vs_naive, "memory_growth": growth}
    print(json.dumps({"bench": "sort", **{name: round(value, 2) for name, value in found.items()}}))
    return 0


def make_pictures(folder: Path, photographs: Path | None, count: int, side: int) -> Path:
    """The folder in which they arrive."""
    source = folder / "all"
    source.mkdir()
    origins, what = pictures.origins(folder, photographs)
    pictures.derive(source, origins, count, side, limit.CORES)
    print(f"{pictures.describe(source)}, from {what}", flush=True)
    return source


def table(source: Path, servers: list[Server]) -> list[Row]:
    paths = sorted(source.iterdir())
    labels, count = sorted({path.name.rsplit("_", 1)[0] for path in paths}), len(paths)
    contents = [path.read_bytes() for path in paths]
    rows = [
        Row("limit, threads", "memory", functools.partial(limit.by_threads, contents), f"{limit.CORES} cores, no I/O"),
        Row(
            "limit, processes",
            "memory",
            functools.partial(limit.by_processes, contents),
            f"{limit.CORES} cores, no I/O",
            told=True,
        ),
        Row("ours", "folder", functools.partial(ways.ours_on_folders, source, count), "everything", told=True),
        Row("naive", "folder", functools.partial(ways.naive_on_folders, source, labels, count)),
    ]
    for server in servers:
        bucket, where = server.bucket(), f"server, +{server.delay * 1000:.0f} ms"
        slow = server is servers[-1]
        server.fill(bucket, paths)
        rows += [
            Row("ours", where, functools.partial(ways.ours_on, server, bucket, count), "everything", told=slow),
            Row("naive", where, functools.partial(ways.naive_on, server, bucket, labels, count), told=slow),
            Row("GCSToGCSOperator", where, functools.partial(ways.operator_on, server, bucket, count)),
            Row("gcloud storage cp", where, functools.partial(ways.gcloud_on, server, bucket, count)),
        ]
    return rows


def tell(rows: list[Row], count: int) -> tuple[float, float]:
    """Print the table; ours on a folder as a share of the limit, and ours against naive where each request takes longer."""
    rates = {(r.way, r.where): count / statistics.median(r.seconds) for r in rows if r.seconds and not r.refused}
    most = max(rate for (way, _), rate in rates.items() if way.startswith("limit"))
    print(f"\n{'way':20}{'where':18}{'pictures/s':>12}{'of limit':>10}{'vs naive':>10}   does")
    for row in rows:
        if row.refused:
            print(f"{row.way:20}{row.where:18}   does not run: {row.refused}")
            continue
        rate = rates[row.way, row.where]
        naive = rates.get(("naive", row.where))
        against = f"{rate / naive:9.1f}x" if naive else f"{'':>10}"
        print(f"{row.way:20}{row.where:18}{rate:12.1f}{rate / most:10.0%}{against}   {row.does}")
    slow = rows[-1].where
    return rates["ours", "folder"] / most, rates["ours", slow] / rates["naive", slow]


def tell_memory(folder: Path, paths: list[Path], sizes: tuple[int, ...]) -> float:
    """Print peaks and times by the number of objects sorted before; the growth of the larger peak from first to last."""
    print(
        f"\n{'sorted before':>14}{'plan, MB':>10}{'sort, MB':>10}{'plan, s':>9}{'sort, s':>9}{'plan, µs a listed object':>26}"
    )
    peaks = []
    for size in sizes:
        peaks.append(found := memory.measure(folder / "memory", paths, size))
        each = found.plan_seconds / (size + memory.NEW) * 1e6
        print(
            f"{size:14,}{found.plan / 1e6:10.0f}{found.sort / 1e6:10.0f}"
            f"{found.plan_seconds:9.2f}{found.sort_seconds:9.2f}{each:26.1f}",
            flush=True,
        )
    for (smaller, less), (larger, more) in itertools.pairwise(zip(sizes, peaks, strict=True)):
        each = (more.plan_seconds - less.plan_seconds) / (larger - smaller) * 1e6
        print(f"from {smaller:,} to {larger:,}: {each:.1f} µs each")
    return max(peaks[-1].plan, peaks[-1].sort) / max(peaks[0].plan, peaks[0].sort)


if __name__ == "__main__":
    sys.exit(main())
