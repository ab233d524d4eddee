"""The launcher `local`: a real operator, a real process. The step is a stand-in that does what each test says."""

from __future__ import annotations

import contextvars
import json
import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import psutil
import pytest
from airflow.exceptions import AirflowTaskTimeout
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.execution_time.timeout import timeout
from menagerie.launchers import launch, local
from menagerie.launchers.local import LocalStepOperator
from menagerie.settings import settings

PRELUDE = """\
import json, os, signal, subprocess, sys, time
from pathlib import Path
uri = next(word for word in sys.argv if word.startswith("--result=")).removeprefix("--result=")
result = Path(uri.removeprefix("file://"))
def finish(**document):
    result.write_text(json.dumps(document))
def child(code="import time; time.sleep(600)"):
    return subprocess.Popen([sys.executable, "-c", code])
"""
Place = Callable[[str], LocalStepOperator]


class Log:
    """A task's log; `heard` is called with each line as it arrives."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.heard: Callable[[str], None] = lambda line: None

    def info(self, text: str, *args: object) -> None:
        self.lines.append(text % args)
        self.heard(self.lines[-1])


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(LocalStepOperator, "log", log)
    return log


@pytest.fixture
def fresh_settings() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_settings: None) -> Place:
    """Makes the task of a step that runs the given code."""
    monkeypatch.setenv("MENAGERIE_HOME", str(tmp_path))
    monkeypatch.setenv("MENAGERIE_MODEL_PYTHON", sys.executable)
    (tmp_path / "model_service").mkdir()

    def task(code: str) -> LocalStepOperator:
        (tmp_path / "model_service/__main__.py").write_text(PRELUDE + textwrap.dedent(code))
        return launch(sort(tmp_path), task_id="sort")

    return task


def sort(folder: Path) -> contract.Sort:
    all_, to_predict, models = (
        f"file://{folder}/{name}" for name in ("animals_all", "animals_to_predict", "animals_models")
    )
    result = f"file://{folder}/sort.json"
    return contract.Sort(run="r1", models=models, result=result, source=all_, to_predict=to_predict)


def run(task: LocalStepOperator) -> dict[str, Any]:
    """Execute a task as Airflow's task runner does."""
    context = contextvars.copy_context()
    context.run(ExecutorSafeguard.tracker.set, task)
    result: dict[str, Any] = context.run(task.execute, {})
    return result


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


# What decides.


def test_the_result_document_of_a_step_that_went_well_is_what_the_task_returns(step: Place) -> None:
    task = step("finish(status='ok', counts={'new': 3}, argv=sys.argv[1:])")
    assert run(task) == {"status": "ok", "counts": {"new": 3}, "argv": task.argv}


def test_a_failed_step_is_quoted_with_its_remedy_and_tried_again(step: Place) -> None:
    error = {"message": "the bucket does not answer", "remedy": "look at the network", "retry": True}
    with pytest.raises(AirflowException) as failure:
        run(step(f"finish(status='failed', error={error}); sys.exit(1)"))
    assert str(failure.value) == "sort failed: the bucket does not answer\nRemedy: look at the network"
    assert not isinstance(failure.value, AirflowFailException)


def test_a_failure_that_no_retry_cures_fails_the_task_at_once(step: Place) -> None:
    error = {"message": "no pictures at all", "remedy": "", "retry": False}
    with pytest.raises(AirflowFailException) as failure:
        run(step(f"finish(status='failed', error={error}); sys.exit(1)"))
    assert str(failure.value) == "sort failed: no pictures at all"


def test_a_failed_result_counts_even_if_the_step_ends_with_0(step: Place) -> None:
    error = {"message": "half of it is missing", "remedy": "", "retry": True}
    with pytest.raises(AirflowException, match="half of it is missing"):
        run(step(f"finish(status='failed', error={error})"))


def test_success_without_a_result_is_a_failure(step: Place) -> None:
    with pytest.raises(AirflowException, match="sort ended with code 0 and without a result"):
        run(step("print('all is well')"))


def test_a_step_that_broke_down_is_quoted_by_its_last_words(step: Place) -> None:
    with pytest.raises(AirflowException) as failure:
        run(step("[print('line', n) for n in range(30)]; raise RuntimeError('the disk is full')"))
    said = str(failure.value)
    assert said.startswith("sort ended with code 1 and without a result. Its last words:\n")
    assert said.endswith("RuntimeError: the disk is full")
    assert "line 29\n" in said
    assert "line 9\n" not in said  # only the end of a long log


def test_a_step_that_broke_down_in_silence(step: Place) -> None:
    with pytest.raises(AirflowException, match=r"ended with code 7 .*\n\(it said nothing\)"):
        run(step("sys.exit(7)"))


def test_what_is_quoted_is_cut(step: Place) -> None:
    with pytest.raises(AirflowException) as failure:
        run(step("print('x' * 3_000_000); sys.exit(7)"))
    assert str(failure.value).endswith("x" * 500 + "… (2999500 more)")
    error = {"message": "y" * 5000, "remedy": "", "retry": True}
    with pytest.raises(AirflowException) as failure:
        run(step(f"finish(status='failed', error={error})"))
    assert str(failure.value) == f"sort failed: {'y' * 4000}… (1000 more)"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"status": "failed"}', '{"status": "half"}'])
def test_a_damaged_result_is_named_with_the_way_out(step: Place, tmp_path: Path, text: str) -> None:
    said = rf"file://{tmp_path}/sort.json is not a step's result: it is damaged\. Delete it and clear the task\."
    with pytest.raises(AirflowFailException, match=said):
        run(step(f"result.write_text({text!r})"))
    with pytest.raises(AirflowFailException, match=said):  # and as long as it stands there
        run(step("finish(status='ok')"))
    (tmp_path / "sort.json").unlink()
    assert run(step("finish(status='ok')"))["status"] == "ok"


def test_an_earlier_attempts_failure_is_not_taken_for_this_ones(step: Place, tmp_path: Path) -> None:
    error = {"class": "StepError", "message": "the disk was full", "remedy": "", "retry": False}
    (tmp_path / "sort.json").write_text(json.dumps({"status": "failed", "error": error}))

    with pytest.raises(AirflowException, match="cannot import torch") as caught:
        run(step("sys.exit('cannot import torch')"))

    assert "disk" not in str(caught.value)


def test_a_step_killed_from_outside_says_so_and_is_tried_again(step: Place) -> None:
    error = {"message": "of an earlier attempt", "remedy": "", "retry": False}
    with pytest.raises(AirflowException) as failure:
        run(step(f"finish(status='failed', error={error}); os.kill(os.getpid(), signal.SIGKILL)"))
    assert str(failure.value) == "sort was killed by SIGKILL (out of memory?); a retry starts it again"
    assert not isinstance(failure.value, AirflowFailException)


def test_a_missing_model_environment_is_named_with_the_way_out(
    step: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENAGERIE_MODEL_PYTHON", f"{tmp_path}/nowhere/python")
    with pytest.raises(AirflowFailException) as failure:
        run(step(""))
    assert f"{tmp_path}/nowhere/python does not exist" in str(failure.value)
    assert "`make env`" in str(failure.value)
    assert "MENAGERIE_MODEL_PYTHON" in str(failure.value)


def test_a_command_line_that_the_contract_does_not_allow_starts_no_process(step: Place, tmp_path: Path) -> None:
    task = step("Path('started').touch()")
    task.argv = [*task.argv, "--holdout=a fifth"]
    with pytest.raises(AirflowFailException, match="--holdout"):
        run(task)
    assert not (tmp_path / "started").exists()


# The log.


def test_lines_arrive_as_they_come(step: Place, log: Log, tmp_path: Path) -> None:
    task = step("""
        print("half-way")
        for _ in range(500):  # goes on only when somebody has read that
            if Path("heard").exists():
                print("done")
                finish(status="ok")
                break
            time.sleep(0.02)
    """)
    log.heard = lambda line: (tmp_path / "heard").touch() if line == "half-way" else None
    assert run(task)["status"] == "ok"
    assert log.lines[-2:] == ["half-way", "done"]
    assert log.lines[0].startswith(
        f"Running: {sys.executable} -m model_service sort --contract={contract.VERSION} --run=r1 "
    )


def test_both_streams_and_odd_bytes_reach_the_log(step: Place, log: Log) -> None:
    run(step(r"os.write(2, b'caf\xc3\xa9 \xff 100 %s\n'); finish(status='ok')"))
    assert log.lines[1:] == ["café \\xff 100 %s"]


# Its environment.


def test_the_step_sees_neither_airflows_secrets_nor_pythons_paths(step: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT",
        "_AIRFLOW_PROCESS_CONTEXT",
        "__AIRFLOW_SUPERVISOR_FD",
        "PYTHONPATH",
        "VIRTUAL_ENV",
    ):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme")
    seen = run(step("finish(status='ok', variables=dict(os.environ))"))["variables"]
    assert [
        name for name in seen if name.lstrip("_").startswith("AIRFLOW") or name in ("PYTHONPATH", "VIRTUAL_ENV")
    ] == []
    assert "secret" not in seen.values()
    assert seen["GOOGLE_CLOUD_PROJECT"] == "acme"
    assert seen["PATH"] == os.environ["PATH"]


# Its end.

TREE = """
    grandchild = child("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    print("pids", os.getpid(), grandchild.pid)
"""


def kill_when_it_tells_its_pids(task: LocalStepOperator, log: Log) -> tuple[list[int], BaseException | None]:
    """The pids that the step printed and what its task raised, after on_kill."""
    told = threading.Event()
    log.heard = lambda line: told.set() if line.startswith("pids") else None
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, task)
        assert told.wait(10)
        task.on_kill()
        failure = running.exception(10)
    return pids(log), failure


def pids(log: Log) -> list[int]:
    return [int(word) for line in log.lines if line.startswith("pids") for word in line.split()[1:]]


def test_a_killed_task_ends_its_step_and_what_the_step_started(step: Place, log: Log) -> None:
    started, failure = kill_when_it_tells_its_pids(step(TREE + "    time.sleep(600)"), log)
    assert "sort was killed by SIGTERM" in str(failure)
    assert len(started) == 2
    assert wait_until(lambda: not any(map(is_alive, started)))


def test_a_step_that_will_not_end_is_killed(step: Place, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE", 0.3)
    stubborn = "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + TREE + "    time.sleep(600)"
    started, failure = kill_when_it_tells_its_pids(step(stubborn), log)
    assert "sort was killed by SIGKILL" in str(failure)
    assert len(started) == 2
    assert wait_until(lambda: not any(map(is_alive, started)))


def test_a_step_that_is_gone_does_not_leave_its_children_behind(step: Place, log: Log) -> None:
    dead = TREE + "    os.kill(os.getpid(), signal.SIGKILL)"
    with ThreadPoolExecutor(1) as pool:
        failure = pool.submit(run, step(dead)).exception(10)  # the children hold its output open: nobody waits for that
    assert "sort was killed by SIGKILL" in str(failure)
    assert len(pids(log)) == 2
    assert wait_until(lambda: not any(map(is_alive, pids(log))))


def test_a_task_that_runs_out_of_time_ends_its_step(step: Place, log: Log) -> None:
    task = step(TREE + "    time.sleep(600)")
    begun = time.monotonic()
    with pytest.raises(AirflowTaskTimeout), timeout(2):  # as the task runner does with execution_timeout
        run(task)
    task.on_kill()
    assert time.monotonic() - begun < 10
    assert len(pids(log)) == 2
    assert wait_until(lambda: not any(map(is_alive, pids(log))))


def test_to_kill_a_task_that_has_ended_or_never_began_is_no_error(step: Place) -> None:
    task = step("finish(status='ok')")
    task.on_kill()
    run(task)
    task.on_kill()


# The real step.


def test_the_real_sort_is_quoted_when_it_finds_no_pictures(tmp_path: Path, log: Log) -> None:
    for name in ("animals_all", "animals_to_predict", "animals_models"):
        (tmp_path / name).mkdir()
    with pytest.raises(AirflowFailException) as failure:
        run(launch(sort(tmp_path), task_id="sort"))
    message, remedy = str(failure.value).split("\n")
    assert message == f"sort failed: no pictures at all in file://{tmp_path}/animals_all"
    assert remedy.startswith("Remedy: put pictures there")
    assert f"sort failed: no pictures at all in file://{tmp_path}/animals_all" in log.lines
