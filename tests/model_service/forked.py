"""Steps in forked children of a process that has imported everything: many at the same moment, and killed where a test wants.

Run as a script it reads lines of JSON: a list of children, each {"argv": […], "point": n, "delay": seconds, "processes": n}.
It starts them together, and answers with a line: how each ended, how many points it came to, and the seconds that all took.
A point is just before or just after a bucket is changed: a file takes or loses its name, a request that writes is sent; or a
program is run. A child is killed by SIGKILL at its `point` (the first is 1) or after its `delay`; 0 is never.
"""

from __future__ import annotations

import importlib
import itertools
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
# those of the steps, and those that come with the first picture, the first table and the first object
STEPS = ("model_service.plan", "model_service.sort", "model_service.storage.folder", "model_service.storage.gcs")
IMPORTS = (*STEPS, "model_service.snapshot", "pandas", "pyarrow.dataset")
PATIENCE = 120  # seconds after which a child that hangs is ended


@dataclass(frozen=True)
class Child:
    argv: list[str]
    point: int = 0
    delay: float = 0.0
    processes: int = 1  # by which a sort reads its pictures, however few they are


@dataclass(frozen=True)
class Ended:
    """`codes` are exit codes, -9 of a killed child; `points` how many each came to."""

    codes: list[int]
    points: list[int]
    seconds: float


class Forks:
    """The process, for as long as the context lasts. gs:// leads its children to where it led when it was entered."""

    def __enter__(self) -> Forks:
        self._scratch = tempfile.TemporaryDirectory()  # for what a killed process leaves on its own disk
        environment = os.environ | {
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": self._scratch.name,
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._scratch.cleanup()

    def run(self, *children: Child) -> Ended:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([asdict(child) for child in children]) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


class Points:
    """Counts a process's points, where its parent can read them, and kills it at one of them."""

    def __init__(self, last: int) -> None:
        self._last, self._count, self._reached = last, itertools.count(1), mmap.mmap(-1, 8)

    @property
    def reached(self) -> int:
        return int.from_bytes(self._reached[:], "little")

    def reach(self) -> None:
        number = next(self._count)  # of one thread alone, whatever the others do
        self._reached[:] = number.to_bytes(8, "little")
        if number == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(
        self, real: Callable[..., Any], writes: Callable[..., bool] = lambda *_, **__: True
    ) -> Callable[..., Any]:
        def changing(*args: Any, **kwargs: Any) -> Any:
            if not writes(*args, **kwargs):
                return real(*args, **kwargs)
            self.reach()
            done = real(*args, **kwargs)
            self.reach()
            return done

        return changing


def serve() -> None:
    """What the process does. It opens no store itself, so that its children share no connection with it."""
    from PIL import Image
    from requests.adapters import HTTPAdapter

    from model_service.__main__ import main
    from model_service.sorting import crew

    for module in IMPORTS:
        importlib.import_module(module)
    Image.init()

    def child(argv: list[str], points: Points, processes: int) -> int:
        crew.MANY, crew._cores = 1 if processes > 1 else crew.MANY, lambda: processes
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        signal.alarm(PATIENCE)
        os.fsync = lambda fd: None  # a killed process, unlike a failed disk, loses nothing that it wrote
        for name in ("link", "replace", "unlink"):
            setattr(os, name, points.around(getattr(os, name)))
        subprocess.run = points.around(subprocess.run)
        writes = lambda adapter, request, **_: request.method != "GET"  # noqa: E731
        HTTPAdapter.send = points.around(HTTPAdapter.send, writes)  # type: ignore[method-assign]
        return main(argv)

    for line in sys.stdin:
        job = json.loads(line)
        gate, opener = os.pipe()
        started: list[tuple[int, Points]] = []
        for one in job:
            points = Points(one["point"])
            if (pid := os.fork()) == 0:
                code = 70
                try:
                    os.close(opener)
                    os.read(gate, 1)  # returns when all are there
                    code = child(one["argv"], points, one["processes"])
                finally:
                    os._exit(code)
            started.append((pid, points))
        os.close(opener)
        begun = time.monotonic()
        for delay, pid in sorted(
            (one["delay"], pid) for one, (pid, _) in zip(job, started, strict=True) if one["delay"]
        ):
            time.sleep(max(0.0, begun + delay - time.monotonic()))
            os.kill(pid, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in started]
        os.close(gate)
        reached = [points.reached for _, points in started]
        print(json.dumps(asdict(Ended(codes, reached, time.monotonic() - begun))), flush=True)


if __name__ == "__main__":
    serve()
