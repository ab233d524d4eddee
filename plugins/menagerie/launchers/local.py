"""Launcher `local`: a step as a subprocess of the model environment, on this machine."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from menagerie import documents
from menagerie.launchers import failures
from menagerie.settings import settings

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
QUOTED = 20  # log lines quoted when a step died without a word


class LocalStepOperator(BaseOperator):
    """Runs `python -m model_service <argv>`; its log lines are the task's, its result document decides.

    Returns the result document. A failure that a retry cannot cure fails the task at once.
    """

    template_fields: Sequence[str] = ("argv",)
    ui_color = "#e4efdc"

    def __init__(self, *, argv: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.argv = argv
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        try:
            step = contract.parse(self.argv)
        except contract.ContractError as error:
            raise AirflowFailException(f"{self.task_id} cannot be run: {error}") from error
        assert isinstance(step, contract.Batch)
        earlier = documents.result(step.result)
        code, tail = self._run()
        result = documents.result(step.result)
        if code == 0 and result is not None and result["status"] == "ok":
            return result
        # A failure that stood there before is not this attempt's: it died before it could clear it away.
        raise self._failure(step, code, None if result == earlier else result, tail)

    def _run(self) -> tuple[int, list[str]]:
        """Exit code (negative: killed by that signal) and the last lines of the log."""
        home, python = settings().home, settings().model_python
        if not python.exists():
            raise AirflowFailException(
                f"no model environment: {python} does not exist. Run `make env`, or set MENAGERIE_MODEL_PYTHON."
            )
        command = [str(python), "-m", "model_service", *self.argv]
        self.log.info("Running: %s", " ".join(command))
        tail: collections.deque[str] = collections.deque(maxlen=QUOTED)
        with subprocess.Popen(
            command,
            cwd=home,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,  # so that on_kill ends the step's children too
        ) as process:
            self._process = process
            # Children that outlive the step would hold its output open, and this task with it.
            threading.Thread(target=_end_children, args=(process,), daemon=True).start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    self.log.info("%s", line.rstrip())
                    tail.append(line.rstrip())
            except BaseException:  # a timeout: on_kill is called only after this block has waited for the process
                self.on_kill()
                raise
        return process.returncode, list(tail)

    def on_kill(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self.log.info("Stopping the step and its children")
        _signal_group(self._process, signal.SIGTERM)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.log.info("Still there after %.0f s: killing them", GRACE)
        _signal_group(self._process, signal.SIGKILL)  # children that outlived it

    def _failure(
        self, step: contract.Batch, code: int, result: dict[str, Any] | None, tail: list[str]
    ) -> AirflowException:
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return AirflowException(f"{step.name} was killed by {name}{hint}; a retry starts it again")
        if result is not None and result["status"] == "failed":
            return failures.told(step.name, result)
        return AirflowException(f"{step.name} ended with code {code} and without a result. {failures.last_words(tail)}")


def _environment() -> dict[str, str]:
    """This process's variables but for Airflow's, which hold its secrets, and Python's, which belong to its environment."""
    dropped = ("AIRFLOW_", "_AIRFLOW", "__AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _end_children(process: subprocess.Popen[str]) -> None:
    process.wait()
    _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
