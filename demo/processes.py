"""The processes that the demo started: each in its own session, written down so that `stop` ends exactly those."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path

import psutil

from demo.config import DemoError

GRACE = 15.0  # seconds between asking a process to end and ending it


class Processes:
    """A file of (name, pid, time of creation): a pid alone may be another process's by now."""

    def __init__(self, state: Path) -> None:
        self._file = state / "processes.json"
        self._logs = state / "logs"

    def start(self, name: str, command: list[str], environment: dict[str, str], cwd: Path) -> None:
        """Start a process that outlives this one; its output goes to `logs/<name>.log`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.returncode = 0  # it outlives us on purpose: Python need not warn that nobody waits for it
        entry = {"name": name, "pid": process.pid, "created": psutil.Process(process.pid).create_time()}
        self._write([*self._read(), entry])

    def dead(self) -> str | None:
        """The name of one that ended by itself, if any."""
        for entry in self._read():
            process = _process(entry)
            if process is None or process.status() == psutil.STATUS_ZOMBIE:
                return str(entry["name"])
        return None

    def words(self, name: str) -> str:
        """The end of a process's log."""
        lines = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def stop(self) -> list[str]:
        """End everything written down, with its children; returns the names of what still ran."""
        self._adopt_website()
        running = {str(entry["name"]): process for entry in self._read() if (process := _process(entry))}
        everything = list(running.values())
        for process in running.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                everything += process.children(recursive=True)
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(everything, timeout=GRACE)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=GRACE)
        self._file.unlink(missing_ok=True)
        return list(running)

    def _adopt_website(self) -> None:
        """A website that `deploy` had to start again is the demo's too; its pid stands beside the site document."""
        site = self._file.parent / "site"
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            process = psutil.Process(int((site / "site.pid").read_text()))
            if f"--site=file://{site}/site.json" in process.cmdline():
                entry = {"name": "website", "pid": process.pid, "created": process.create_time()}
                self._write([*(e for e in self._read() if e["name"] != "website"), entry])

    def _read(self) -> list[dict[str, float | str]]:
        try:
            entries: list[dict[str, float | str]] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return []
        return entries

    def _write(self, entries: list[dict[str, float | str]]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(entries, indent=2))
        os.replace(temporary, self._file)


def free_port(port: int, variable: str) -> None:
    """Raise DemoError, naming the variable that moves it, when the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"port {port} of 127.0.0.1 cannot be had ({error.strerror}): end what listens there, "
                f"or choose another port, e.g. `make demo {variable}={port + 1000}`"
            ) from error


def any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _process(entry: dict[str, float | str]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        return process if abs(process.create_time() - float(entry["created"])) < 1 else None
    except psutil.NoSuchProcess:
        return None
