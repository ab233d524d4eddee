"""A task as Airflow's task runner and triggerer run it, and the step in its pod, which does what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.serialization.serialized_objects import BaseSerialization
from menagerie.launchers import launch

from tests.support.k8s.cluster import Cluster

PRELUDE = """\
import json, os, sys, time
from pathlib import Path
uri = next(word for word in sys.argv if word.startswith("--result=")).removeprefix("--result=")
result = Path(uri.removeprefix("file://"))
def finish(**document):
    result.write_text(json.dumps(document | {"attempt": os.environ["HOSTNAME"]}))
def wait_for(name):
    while not result.with_name(name).exists():
        time.sleep(0.02)
"""


@dataclass
class Instance:
    """What an operator asks of its task instance."""

    task_id: str
    run_id: str
    try_number: int
    dag_id: str = "animals_pipeline"
    map_index: int = -1
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    pushed: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        self.pushed[key] = value


@dataclass
class PodTask:
    """The task of one step of a run of its own; `code` is what the step does."""

    cluster: Cluster
    folder: Path
    run: str
    params: dict[str, Any] = field(default_factory=dict)
    step: str = "train"
    pushed: dict[str, Any] = field(default_factory=dict)  # the XComs of its last attempt
    deferred: Callable[[], None] = lambda: None  # called when the task has been handed to the triggerer

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    def does(self, code: str) -> PodTask:
        (self.folder.parent / "step.py").write_text(PRELUDE + textwrap.dedent(code))
        return self

    def operator(self, **more: Any) -> Any:
        fields = {"run": self.run, "models": f"file://{self.folder}", "result": f"file://{self.result}"}
        step = {
            "train": lambda: contract.Train(**fields),
            "deploy": lambda: contract.Deploy(**fields, model="v1", target="kubernetes", image="x"),
        }[self.step]()
        with DAG("animals_pipeline", schedule=None):
            return launch(step, task_id=self.step, **more)

    def attempt(self, number: int = 1) -> Any:
        """What the task returns or raises, through as many deferrals as it takes."""
        context = self.context(number)
        self.pushed = context["ti"].pushed
        task = self.operator()
        call: Callable[[Any], Any] = lambda task: task.execute(context)  # noqa: E731
        while True:
            try:
                return in_task(task, lambda task=task, call=call: call(task))
            except TaskDeferred as deferral:
                self.deferred()
                path, arguments = through_the_database(deferral.trigger.serialize())
                event = through_the_database(asyncio.run(first_event(path, arguments)))
                method, task = deferral.method_name, self.operator()  # in another process: nothing is remembered
                call = lambda task, m=method, e=event: task.resume_execution(m, {"event": e}, context)  # noqa: E731

    def context(self, number: int) -> dict[str, Any]:
        ti = Instance(self.step, self.run, number)
        return {
            "ti": ti,
            "task_instance": ti,
            "run_id": self.run,
            "dag": SimpleNamespace(parent_dag=None),
            "params": self.params,
        }

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.pods(f"menagerie.dev/run={self.run}")

    def pod(self) -> dict[str, Any]:
        (found,) = self.pods()
        return found

    def is_running(self) -> bool:
        return any(pod["status"].get("phase") == "Running" for pod in self.pods())

    def created(self) -> int:
        """How many pods were created for this run, those that are gone included."""
        return sum(self.run in str(request.data) for request in self.cluster.asked("POST", "/pods"))


def in_task(task: Any, call: Callable[[], Any]) -> Any:
    context = contextvars.copy_context()
    context.run(ExecutorSafeguard.tracker.set, task)
    return context.run(call)


def through_the_database(value: Any) -> Any:
    return BaseSerialization.deserialize(BaseSerialization.serialize(value))


async def first_event(path: str, arguments: dict[str, Any]) -> Any:
    module, _, name = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**arguments)
    async with contextlib.aclosing(trigger.run()) as events:
        async for event in events:
            return event.payload
    raise AssertionError("the trigger ended in silence")
