"""What the DAG processor pays for dags/animals_pipeline.py, again and again: the child that parses it after the pre-import.

The DAG processor imports in its own process the `airflow.*` modules that a DAG file names at its top, then forks a child that
parses the file. The child's time is what recurs (every 30 s a file, by default). Measured here with Airflow's own functions,
side by side with the same DAG as it is commonly written: its operators come from a module of the user's own, which imports
KubernetesPodOperator, so that nothing is pre-imported and every child imports it again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
OURS = REPO / "dags/animals_pipeline.py"

USUAL = """
from datetime import datetime, timedelta
from steps import step

from airflow.sdk import DAG

with DAG("usual", schedule="30 14 * * *", start_date=datetime(2026, 1, 1), catchup=False,
         default_args={"retries": 2, "execution_timeout": timedelta(hours=1)}):
    tasks = [step(n) for n in ("sort", "predict", "evaluate", "train", "judge", "promote", "deploy")]
    for one, next_ in zip(tasks, tasks[1:]):
        one >> next_
"""
STEPS = """
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

def step(name):
    return KubernetesPodOperator(task_id=name, name=name, image="model", cmds=["python", "-m", "model_service", name])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="parses of each file, one after the other (default: 5)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error("--rounds must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ |= {
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "PYTHONWARNINGS": "ignore",
        }
        (home / "dags").mkdir()
        usual = home / "dags/usual.py"
        usual.write_text(USUAL)
        (home / "dags/steps.py").write_text(STEPS)
        sys.path[:0] = [str(home / "dags"), str(REPO / "plugins")]  # as Airflow does
        _dag_processor()
        times: dict[Path, list[float]] = {OURS: [], usual: []}
        for number in range(1, rounds + 1):
            for file in times:
                times[file].append(in_child(lambda file=file: processor_parses(file)))
            print(
                f"round {number}: {OURS.name} {times[OURS][-1]:.3f} s, {usual.name} {times[usual][-1]:.3f} s",
                flush=True,
            )
    ours, cold = (statistics.median(values) for values in times.values())
    print(
        json.dumps(
            {"bench": "parse", "child_s": round(ours, 3), "cold_s": round(cold, 3), "ratio": round(cold / ours, 1)}
        )
    )
    return 0


def _dag_processor() -> None:
    """What a DAG processor has done before it sees any DAG file."""
    import airflow.dag_processing.manager
    import airflow.dag_processing.processor  # noqa: F401
    from airflow.jobs.job import Job

    Job()  # tells plugins that it starts: Menagerie's imports the operators of its pods then


def processor_parses(file: Path) -> float:
    """In a DAG processor that has seen no DAG file: pre-import, fork, and the seconds that the child takes."""
    import structlog
    from airflow.dag_processing import processor

    processor._pre_import_airflow_modules(str(file), structlog.get_logger())
    return in_child(lambda: child_parses(file))


def child_parses(file: Path) -> float:
    import structlog
    from airflow.dag_processing import processor
    from airflow.dag_processing.processor import DagFileParseRequest

    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    request = DagFileParseRequest(file=str(file), bundle_path=file.parent, callback_requests=[])
    begun = time.perf_counter()
    result = processor._parse_file(request, structlog.get_logger())
    seconds = time.perf_counter() - begun
    if result is None or result.import_errors or len(result.serialized_dags) != 1:
        raise RuntimeError(f"{file} does not parse: {result and result.import_errors}")
    return seconds


def in_child(work: Callable[[], Any]) -> Any:
    """The work's result, out of a fork of this process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("parsing failed, see above")
    return json.loads(answer)


if __name__ == "__main__":
    sys.exit(main())
