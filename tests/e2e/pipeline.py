"""Runs of the pipeline as Airflow runs them (`dag.test`), and what they did."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
from airflow.listeners import hookimpl
from airflow.listeners.listener import get_listener_manager
from airflow.models.dagbag import DagBag
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import XCOM_RETURN_KEY
from airflow.sdk.execution_time import supervisor
from airflow.utils.session import create_session
from menagerie import documents
from menagerie.settings import settings
from sqlalchemy import select

from tests.plugins.airflow_home import MODEL_PYTHON, REPO


@dataclass
class Run:
    """What a run of the pipeline did."""

    name: str
    state: str
    seconds: float
    tasks: dict[str, list[tuple[str, int]]] = field(
        default_factory=dict
    )  # state and tries of each of a task's instances
    said: dict[str, Any] = field(default_factory=dict)  # by the tasks that returned something
    errors: list[str] = field(default_factory=list)  # of every attempt that failed

    def states(self, state: str) -> set[str]:
        return {task for task, instances in self.tasks.items() if {found for found, _ in instances} == {state}}

    def result(self, step: str) -> dict[str, Any]:
        found = documents.result(contract.result(settings().bucket("animals_models"), self.name, step))
        assert found is not None
        return found


class Errors:
    """Airflow's listener of what failed attempts said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def on_task_instance_failed(self, error: object) -> None:
        self.heard.append(str(error))


def run(dag: Any, **params: Any) -> Run:
    """Run a DAG to its end."""
    errors = Errors()
    get_listener_manager().add_listener(errors)
    begun = time.monotonic()
    done = dag.test(run_conf=params)
    found = Run(contract.run_name(done.run_id), str(done.state), time.monotonic() - begun, errors=errors.heard)
    get_listener_manager().pm.unregister(errors)
    for instance in done.get_task_instances():
        found.tasks.setdefault(instance.task_id, []).append((str(instance.state), instance.try_number))
    with create_session() as session:
        returned = select(XComModel).where(XComModel.run_id == done.run_id, XComModel.key == XCOM_RETURN_KEY)
        for said in session.scalars(returned):
            found.said[said.task_id] = XComModel.deserialize_value(said)
    return found


class Pipeline:
    """The pipeline's DAG over buckets in a folder, with the settings of this moment."""

    def __init__(self, buckets: Path) -> None:
        self.buckets, self.models = buckets, buckets / "animals_models"
        for name in ("animals_all", "animals_to_predict", "animals_predicted", "animals_models"):
            (buckets / name).mkdir(parents=True)
        self.dag = DagBag(REPO / "dags", include_examples=False).dags["animals_pipeline"]

    def arrive(self, seed: int, folder: Path) -> None:
        """A batch of drawn pictures, and a few broken ones, in the bucket where pictures arrive."""
        command = [str(MODEL_PYTHON), "-m", "demo.pictures", str(folder), "--per-kind", "6", "--seed", str(seed)]
        subprocess.run(command, cwd=REPO, check=True, timeout=60, stdout=subprocess.DEVNULL)
        shutil.copytree(folder, self.buckets / "animals_all", dirs_exist_ok=True)

    def run(self, **params: Any) -> Run:
        return run(self.dag, **params)

    def champion(self) -> str:
        version: str = json.loads((self.models / "resnet34/champion.json").read_text())["version"]
        return version


@contextmanager
def airflow() -> Iterator[pytest.MonkeyPatch]:
    """A database, one API server for all tasks, and Airflow's signal handlers undone at the end."""
    # A new one: dag.test takes a DAG from the database if it is there, be it of tests with another launcher.
    command = [sys.executable, "-m", "airflow", "db", "reset", "--yes"]
    subprocess.run(command, check=True, timeout=90, stdout=subprocess.DEVNULL)
    before = signal.getsignal(signal.SIGTERM)  # dag.test puts its own in place
    try:
        with pytest.MonkeyPatch.context() as patch:
            # dag.test builds its API server anew for each task, which takes 1.6 s: one for all of them does as well.
            patch.setattr(supervisor, "in_process_api_server", functools.cache(supervisor.in_process_api_server))
            # It also leaves out that a task asks again when the API server fails (a locked database, on a busy machine).
            patch.delattr(supervisor.InProcessTestSupervisor._Client, "request")
            yield patch
    finally:
        signal.signal(signal.SIGTERM, before)
