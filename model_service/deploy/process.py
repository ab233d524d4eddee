"""A website on this machine: started once as a process of its own, which outlives the step that started it."""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import os
import sys
import time
import urllib.parse
from pathlib import Path

import menagerie_contract as contract

import model_service
from model_service.deploy.website import Website
from model_service.errors import StepError

log = logging.getLogger(__name__)


def start(step: contract.Deploy, until: float) -> None:
    """Start the website unless somebody else just did, and wait until it listens. Raises StepError.

    `until` is the monotonic time to give up at. Its process id and log stand beside the site document: `site.json` has
    `site.pid` and `site.log`.
    """
    where = urllib.parse.urlsplit(step.url)
    if not (step.site.startswith("file:///") and where.scheme == "http" and _is_loopback(where.hostname or "")):
        raise StepError(
            f"nothing listens at {step.url}",
            remedy="Start the website (python -m model_service serve), or correct --url.",
        )
    document = Path(step.site.removeprefix("file://"))
    serve = contract.Serve(
        models=step.models,
        site=step.site,
        host=where.hostname or "",
        port=where.port or 80,
        predicted=step.predicted,
    )
    logfile = document.with_suffix(".log")
    try:
        lock = logfile.open("ab")
    except OSError as error:
        raise StepError(
            f"the website's log {logfile} cannot be written: {error.strerror}", remedy="Move it."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two deployments at once, one starts the website and the other finds it
        if Website(step.url).ready().listening:
            return
        pid = _spawn(serve.argv(), logfile)
        document.with_suffix(".pid").write_text(f"{pid}\n")
        log.info("started the website at %s, process %d, log %s", step.url, pid, logfile)
        _wait(step.url, pid, logfile, until)


def _wait(url: str, pid: int, logfile: Path, until: float) -> None:
    while not Website(url).ready().listening:
        if os.waitpid(pid, os.WNOHANG)[0]:
            end = logfile.read_text(errors="replace")[-1000:].strip()
            raise StepError(f"the website does not start:\n{end}", remedy=f"{logfile} says why.")
        if time.monotonic() > until:
            raise StepError(f"the website did not start in time, see {logfile}", remedy="Give it a longer --timeout.")
        time.sleep(0.1)


def _spawn(argv: list[str], logfile: Path) -> int:
    """Run `python -m model_service` in a session of its own: what ends this step does not end the website."""
    sources = [str(Path(module.__file__ or "").resolve()) for module in (model_service, contract)]
    paths = [str(Path(sources[0]).parents[1]), str(Path(sources[1]).parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(logfile), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    words = [sys.executable, "-m", "model_service", *argv]
    return os.posix_spawn(sys.executable, words, environment, file_actions=actions, setsid=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
