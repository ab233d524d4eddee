"""What plan and sort take when most of what is listed has been sorted before: peak of memory, time for each object listed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from bench.sorting.server import REPO, environment
from model_service.ledger import Batch, Entry, Head, Parts, read_head, swap_head
from model_service.storage import Store, open_store

SORTED = (1_000, 10_000, 100_000)  # objects
NEW = 100
_COMMITS = 20  # by which they got into the ledger

# A process between us and the step: a child's peak is at least what its parent held as it was started.
_PEAK = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit))
sys.exit(code)
"""


@dataclass(frozen=True)
class Peaks:
    """Bytes of the processes, and seconds of the steps themselves."""

    plan: int
    sort: int
    plan_seconds: float
    sort_seconds: float


def measure(root: Path, pictures: list[Path], count: int) -> Peaks:
    """With `count` objects that the ledger knows, in one folder, and some of the pictures, which it does not."""
    root.mkdir()
    for name in ("all", "to_predict", "models"):
        (root / name).mkdir()
    for number in range(count):
        (root / f"all/cat_{number:07d}.jpg").write_bytes(b"-")  # known: it is never read
    source, models = f"file://{root}/all", f"file://{root}/models"
    remember(models, open_store(source), count // _COMMITS)
    for path in pictures[:NEW]:
        shutil.copy(path, root / "all" / path.name)
    common: dict[str, Any] = {"run": "bench", "source": source, "models": models}
    plan = contract.Plan(**common, result=f"{models}/runs/bench/plan.json")
    plan_peak, planned = peak(plan)
    (uri,) = planned["outputs"]["plans"]
    if planned["counts"]["new"] != NEW:
        raise SystemExit(f"{planned['counts']['new']} are new, not {NEW}")
    to_predict = f"file://{root}/to_predict"
    sort = contract.Sort(**common, to_predict=to_predict, plan=uri, result=f"{models}/runs/bench/sort-00000.json")
    sort_peak, done = peak(sort)
    if done["counts"]["packed"] + done["counts"]["duplicates"] != NEW:
        raise SystemExit(f"not all were sorted: {done['counts']}")
    shutil.rmtree(root)
    return Peaks(plan_peak, sort_peak, planned["seconds"], done["seconds"])


def remember(models: str, source: Store, rows: int) -> None:
    """Enter everything that is in the source into the ledger, so many objects a commit, as sorts would have done."""
    store = open_store(models)
    entries = []
    for blob in source.list():
        digest = hashlib.sha256(blob.name.encode()).digest()
        look = int.from_bytes(digest[:8], "big")
        entries.append(Entry(blob.name, blob.generation, digest.hex()[:20], "cat", "train", look))
    with Parts(models, store) as parts:
        for number, first in enumerate(range(0, len(entries), rows)):
            before = read_head(models)
            some = entries[first : first + rows]
            name, classes = f"old/{number:05d}-000000000000", {"cat": len(some)}
            batch = Batch(name, "old", manifest="0" * 64, packed=len(some), contested=0, classes=classes)
            swap_head(models, store, before, Head((*before.batches, batch), parts.joined(before, some)))


def peak(step: contract.Batch) -> tuple[int, dict[str, Any]]:
    """Run the step; its process's largest resident memory in bytes, and its result document."""
    words = [sys.executable, "-c", _PEAK, sys.executable, "-m", "model_service", *step.argv()]
    done = subprocess.run(words, cwd=REPO, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step.name} failed:\n{done.stderr}")
    result = json.loads(Path(step.result.removeprefix("file://")).read_bytes())
    return int(json.loads(done.stdout)), result
