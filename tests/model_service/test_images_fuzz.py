"""Whatever is done to a picture's bytes, it decodes or is refused with a reason: no crash, no hang, no flood of memory."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from model_service import images
from tests.model_service import mutated

ROOT = Path(__file__).parents[2]
COUNT = 2000 if os.environ.get("MENAGERIE_SOAK") == "1" else 200
SLOWEST = 10  # seconds for one picture
MOST = 400_000_000  # bytes that the process may grow by


def decoded(first: int, count: int, errors: Path) -> tuple[list[dict[str, Any]], int]:
    """What a process of its own says of each picture, and its exit code; killed when it is silent for too long."""
    command = [sys.executable, "-W", "error", "-W", "ignore::UserWarning:PIL.", "-m", "tests.model_service.mutated"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            [*command, str(first), str(count)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
        ) as child,
    ):
        lines: queue.Queue[bytes] = queue.Queue()
        reader = threading.Thread(target=lambda: [lines.put(line) for line in (*(child.stdout or ()), b"")])
        reader.start()
        said = []
        try:
            patience = 120.0  # for the imports, and to draw the pictures that are damaged
            while line := lines.get(timeout=patience):
                said.append(json.loads(line))
                patience = SLOWEST
        except queue.Empty:
            child.kill()
        reader.join()
        return said[1:], child.wait()


def test_damaged_pictures_are_decoded_or_refused(tmp_path: Path) -> None:
    said, code = decoded(0, COUNT, tmp_path / "errors")
    told = (tmp_path / "errors").read_text(errors="replace")[-2000:]
    assert len(said) == COUNT, f"picture {len(said)}, {mutated.mutated(len(said))[0]}: hung or crashed ({code})\n{told}"
    assert code == 0, told

    assert [one for one in said if one["result"] not in {"decoded", *images.REASONS}] == []
    assert [one for one in said if one["seconds"] > SLOWEST] == []
    assert max(one["peak"] for one in said) - said[0]["peak"] < MOST

    results = Counter(one["result"] for one in said)
    print(dict(results), "slowest", max(one["seconds"] for one in said))
    assert {"decoded", "unreadable", "truncated", "not-an-image"} <= set(results)


@pytest.mark.parametrize("name", mutated.seeds())
def test_undamaged_they_all_decode(name: str) -> None:
    assert mutated.outcome(mutated.seeds()[name]) == "decoded"


def test_a_number_always_means_the_same_damage() -> None:
    assert [mutated.mutated(n) for n in range(20)] == [mutated.mutated(n) for n in range(20)]
    assert len({mutated.mutated(n)[1] for n in range(50)}) == 50
