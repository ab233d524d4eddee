"""What this container or machine is: versions, memory, scratch space, graphics cards."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import menagerie_contract as contract

from model_service.doctor.checks import Finding

PYTHON = ("3", "11")  # what the locks are made for
NEEDED = ("openvino", "numpy", "pillow", "google-cloud-storage", "fastapi", "lightkube", "pyyaml")  # in both images
TRAINING = ("torch", "fastai", "pyarrow")  # in the image that trains
LEAST_MEMORY, LEAST_SCRATCH = 1e9, 1e9  # bytes
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # version 2, version 1


def versions() -> Finding:
    found = {name: _version(name) for name in (*NEEDED, *TRAINING)}
    missing = [name for name in NEEDED if not found[name]]
    commit = os.environ.get("MENAGERIE_COMMIT") or "unknown (no image)"
    trains = all(found[name] for name in TRAINING)
    words = [f"contract {contract.VERSION}", f"commit {commit}", f"Python {platform.python_version()}"]
    words += [f"{name} {version}" for name, version in found.items() if version]
    words += [] if trains else ["serves and deploys only"]
    text = ", ".join(words)
    if missing:
        return Finding(
            "failed", f"{text}; missing: {', '.join(missing)}", "Use the project's image, or run `make env`."
        )
    if platform.python_version_tuple()[:2] != PYTHON:
        return Finding("warning", text, f"The locks are for Python {'.'.join(PYTHON)}: use it.")
    return Finding("ok", text)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def memory() -> Finding:
    """The container's limit or, without one, the machine's memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = min((_limit(Path(path)) for path in _CGROUPS), default=machine)
    whose = "the container's limit" if limit < machine else "the machine's, without a limit"
    found = f"{min(limit, machine) / 1e9:.1f} GB, {whose}"
    if min(limit, machine) < LEAST_MEMORY:
        return Finding("warning", found, "Give the step more memory: MENAGERIE_PODS or the Param pods.")
    return Finding("ok", found)


def _limit(path: Path) -> float:
    """Bytes; infinity when there is no such file, or no limit in it."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # version 2 writes "max"
        return float("inf")


def scratch() -> Finding:
    """Raises OSError when no temporary file can be written."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 20))
        file.flush()
    free = shutil.disk_usage(tempfile.gettempdir()).free
    found = f"{tempfile.gettempdir()} is writable, {free / 1e9:.1f} GB free"
    if free < LEAST_SCRATCH:
        return Finding("warning", found, "Give the step more ephemeral storage: MENAGERIE_PODS or the Param pods.")
    return Finding("ok", found)


def cards() -> Finding:
    """Graphics cards, as the driver lists them; none is no fault."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("ok", "none: steps use the CPU")
    said = subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=20)
    if said.returncode != 0:
        return Finding("warning", f"the driver does not answer: {(said.stdout + said.stderr).strip()}", "See the node.")
    return Finding("ok", "; ".join(line.split(" (")[0] for line in said.stdout.splitlines()))
