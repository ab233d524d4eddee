"""Runs a step again and again in forked children, each killed by SIGKILL at another point, then once more unkilled.

`python kill_points.py` reads {"argv": […], "places": […], "clear": […], "delays": […]} from stdin. `{}` in a text stands
for the number of the case; case 0 is not killed. A point is just before or just after a file takes its name, which is how
a folder store commits; `delays` are further cases, killed that many seconds after their start. Prints a line of JSON a case.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "plugins")]

import pandas  # noqa: F401, E402 (pyarrow imports it with its first table: not in every child)

from model_service import sort, storage  # noqa: F401, E402 (imported once, before the forks)
from model_service.__main__ import main  # noqa: E402
from model_service.storage import folder, open_store  # noqa: F401, E402


def die_at(point: int) -> None:
    """Kill this process at its point-th chance."""
    left, lock = [point], threading.Lock()

    def chance() -> None:
        with lock:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(real: Callable[..., None]) -> Callable[..., None]:
        def committing(*args: Any, **kwargs: Any) -> None:
            chance()
            real(*args, **kwargs)
            chance()

        return committing

    os.link, os.replace = around(os.link), around(os.replace)  # type: ignore[assignment]


def run(argv: list[str], *, point: int = 0, delay: float = 0) -> int:
    """The exit code of the step in a child: -9 when it was killed."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.fsync = lambda file: None  # a killed process, unlike a failed disk, loses nothing that it wrote
        if point:
            die_at(point)
        os._exit(main(argv))
    if delay:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(places: list[str]) -> dict[str, str]:
    """Every object in those folders: where it stands, and the hash of what it is."""
    found = {}
    for number, place in enumerate(places):
        if os.path.isdir(place):
            store = open_store(f"file://{place}")
            for blob in store.list():
                found[f"{number}/{blob.name}"] = hashlib.sha256(store.read(blob.name)).hexdigest()
    return found


def cases(job: dict[str, Any]) -> None:
    def fresh(case: int) -> tuple[list[str], list[str]]:
        places = [place.replace("{}", str(case)) for place in job["places"]]
        for place in job["clear"]:
            shutil.rmtree(place, ignore_errors=True)
        for place in places:
            os.makedirs(place, exist_ok=True)
        return [word.replace("{}", str(case)) for word in job["argv"]], places

    def tell(**what: Any) -> None:
        print(json.dumps(what), flush=True)

    argv, places = fresh(0)
    start = time.monotonic()
    tell(killed="never", ended=run(argv), took=time.monotonic() - start, contents=contents(places))
    for point in count(1):
        argv, places = fresh(point)
        killed = run(argv, point=point)
        if killed == 0:
            break  # it has no such point any more
        tell(killed=f"at point {point}", first=killed, ended=run(argv), contents=contents(places))
    for number, delay in enumerate(job["delays"], point + 1):
        argv, places = fresh(number)
        killed = run(argv, delay=delay)
        tell(killed=f"after {delay} s", first=killed, ended=run(argv), contents=contents(places))


if __name__ == "__main__":
    cases(json.load(sys.stdin))
