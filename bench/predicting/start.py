"""What the website needs before it answers for the first time: seconds, and megabytes of packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bench.predicting.made import Model
from bench.sorting.server import REPO, environment

LOCK = REPO / "locks/serve.txt"

_FIRST = """
import sys
from model_service.images import Limits
from model_service.serve.holder import Served
models, version, picture = sys.argv[1:]
with open(picture, "rb") as stream:
    print(Served(models, version).answer(stream.read(), Limits())["classes"][0]["label"], flush=True)
"""


def seconds(model: Model, picture: Path) -> float:
    """From the start of a process until it tells what is in the picture, with the model loaded as the website loads it."""
    words = [sys.executable, "-c", _FIRST, model.models, model.version, str(picture)]
    begun = time.perf_counter()
    with subprocess.Popen(words, cwd=REPO, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        taken = time.perf_counter() - begun
    if process.returncode or not told:
        raise SystemExit("the first picture was not classified")
    return taken


class Installed(NamedTuple):
    """Megabytes of all packages of the website's environment, and of the largest."""

    total: float
    largest: list[tuple[str, float]]


def megabytes() -> Installed | str:
    """As the lock names them, installed by uv into a folder; or why they cannot be installed here."""
    if not shutil.which("uv"):
        return "there is no uv"
    with tempfile.TemporaryDirectory() as name:
        words = ["uv", "pip", "install", "--quiet", f"--python={sys.executable}", f"--target={name}", "-r", str(LOCK)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"uv could not install it: {done.stderr.strip()[-300:]}"
        packages: Counter[str] = Counter()
        for path in Path(name).rglob("*"):
            if path.is_file():
                packages[path.relative_to(name).parts[0]] += path.stat().st_size
    found = [(package, size / 1e6) for package, size in packages.most_common()]
    return Installed(sum(size for _, size in found), found[:4])
