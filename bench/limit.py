"""How fast the processors alone can predict: the network without decoding, decoding without the network, both together.

The network on pixels in memory, with every batch and number of streams; decoding on all cores, of loose files and of the same
pictures packed in shards. Nothing that reads, decodes and computes can be faster than both together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(REPO), str(REPO / "plugins")]  # in the place of this folder

from bench.predicting import limit, made  # noqa: E402
from bench.sorting.limit import CORES  # noqa: E402

SOURCES = ("shards", "files")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are taken (default: 5)")
    parser.add_argument("--quick", action="store_true", help="90 pictures, one short round")
    parser.add_argument("--photographs", type=Path, help="folder of <label>/*.jpg to derive the pictures from")
    given = parser.parse_args()
    repeats, seconds = (1, 0.5) if given.quick else (given.repeats, 3.0)
    if repeats < 1:
        parser.error("at least one repeat is needed")
    with tempfile.TemporaryDirectory(prefix="menagerie-bench-") as name:
        pictures, model = made.make(Path(name), given.photographs, made.QUICK if given.quick else made.FULL, side=224)
        print(json.dumps(measure(pictures, model, repeats, seconds)))
    return 0


def measure(pictures: list[made.Pictures], model: made.Model, repeats: int, seconds: float) -> dict[str, object]:
    """Print the tables; the medians by name, for the last line."""
    forward = {precision: tell_sweep(model, precision, seconds) for precision in limit.precisions()}
    side = model.card["preprocessing"]["size"]
    decode = {(some.name, source): limit.Decode(side, some, source) for some in pictures for source in SOURCES}
    rates: dict[str | tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        for precision, network in forward.items():
            rates.setdefault(precision, []).append(network.rate(seconds))
        for key, decoding in decode.items():
            rates.setdefault(key, []).append(decoding.rate(seconds))
    medians = {key: statistics.median(found) for key, found in rates.items()}
    print(f"\n{CORES} cores, pictures/s{'':16}{'alone':>8}" + "".join(f"{precision:>8}" for precision in forward))
    print(f"{'the network':36}{'':8}" + "".join(f"{medians[precision]:8.1f}" for precision in forward))
    together: dict[str, float] = {}
    for key in decode:
        both = {precision: limit.combined(medians[precision], medians[key]) for precision in forward}
        print(
            f"decoding {key[0]:10} from {key[1]:12}{medians[key]:8.1f}"
            + "".join(f"{rate:8.1f}" for rate in both.values())
        )
        together |= {f"{precision}_{key[0]}_{key[1]}": round(rate, 1) for precision, rate in both.items()}
    alone = {precision: round(medians[precision], 1) for precision in forward}
    decoded = {"_".join(key): round(medians[key], 1) for key in decode}
    return {"bench": "limit", "forward": alone, "decode": decoded, "combined": together}


def tell_sweep(model: made.Model, precision: str, seconds: float) -> limit.Forward:
    """Print what each setting gives; the network at the best."""
    batch, streams, rates = limit.best(model, precision, seconds)
    told = ", ".join(f"{b}×{s}: {rate:.1f}" for (b, s), rate in rates.items())
    print(f"{precision}, pictures/s by batch×streams: {told}; best {batch}×{streams}", flush=True)
    return limit.Forward(model, precision, batch, streams)


if __name__ == "__main__":
    sys.exit(main())
