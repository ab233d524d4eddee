"""The doctor's DAG: how it is wired for each launcher, and two runs of it by Airflow's own loop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import menagerie_contract as contract
import pytest
from airflow.models.dagbag import DagBag
from airflow.providers.common.compat.sdk import TriggerRule

from tests.e2e.pipeline import airflow
from tests.plugins.airflow_home import BUCKETS, REGISTRY, REPO, SITE_URL

# Airflow's API server runs in this process: what its libraries will drop one day is none of our warnings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

DIGEST = "sha256:" + "0" * 64
MODELS = f"file://{BUCKETS}/animals_models"
NAMES = ("animals_all", "animals_to_predict", "animals_predicted", "animals_models")


@pytest.fixture(scope="module")
def doctor() -> Any:
    bag = DagBag(REPO / "dags", include_examples=False)
    assert bag.import_errors == {}
    return bag.dags["menagerie_doctor"]


def looks(argv: list[str]) -> contract.Doctor:
    """The step that a task of the run r1 starts."""
    step = contract.parse([word.replace("{{ run_id | run_name }}", "r1") for word in argv])
    assert isinstance(step, contract.Doctor)
    return step


# Its wiring.


def test_it_runs_when_somebody_asks_once_at_a_time(doctor: Any) -> None:
    assert doctor.timetable.summary == "None"
    assert doctor.max_active_runs == 1
    assert doctor.tags == {"menagerie"}


def test_with_local_steps_there_is_one_look_at_what_they_see(doctor: Any) -> None:
    assert {task.task_id: task.downstream_task_ids for task in doctor.tasks} == {
        "coordinator": {"table"},
        "steps": {"table"},
        "table": set(),
    }
    step = looks(doctor.get_task("steps").argv)
    assert (step.source, step.to_predict, step.predicted, step.models) == tuple(f"file://{BUCKETS}/{n}" for n in NAMES)
    assert (step.url, step.namespace, step.registry) == (SITE_URL, "", REGISTRY)


def test_the_table_is_made_whatever_failed_and_nothing_is_tried_twice(doctor: Any) -> None:
    assert doctor.get_task("table").trigger_rule == TriggerRule.ALL_DONE
    assert all(task.retries == 0 and task.execution_timeout for task in doctor.tasks)


WITH_PODS = f"""
import json, sys
sys.path.insert(0, {str(REPO / "plugins")!r})
from airflow.models.dagbag import DagBag
bag = DagBag({str(REPO / "dags")!r}, include_examples=False)
assert not bag.import_errors, bag.import_errors
tasks = bag.dags["menagerie_doctor"].tasks
print(json.dumps({{task.task_id: [sorted(task.downstream_task_ids), getattr(task, "argv", [])] for task in tasks}}))
"""


def test_with_pods_each_image_and_account_has_a_look() -> None:
    variables = {
        "MENAGERIE_SITE_URL": "",
        "MENAGERIE_LAUNCHER": "kubernetes",
        "MENAGERIE_BUCKETS": "gs://acme-",
        "MENAGERIE_IMAGE": f"example/train@{DIGEST}",
        "MENAGERIE_SERVE_IMAGE": f"example/serve@{DIGEST}",
    }
    command = [sys.executable, "-c", WITH_PODS]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True, timeout=60)
    tasks = json.loads(done.stdout.splitlines()[-1])
    assert {task: downstream for task, (downstream, _) in tasks.items()} == {
        "coordinator": ["table"],
        "steps": ["reap", "table"],
        "deploy": ["reap", "table"],
        "table": [],
        "reap": [],
    }
    steps, deploy = (looks(tasks[task][1]) for task in ("steps", "deploy"))
    assert (steps.source, steps.namespace, steps.url) == ("gs://acme-animals_all", "", "")
    assert deploy.source == deploy.to_predict == deploy.predicted == ""
    assert deploy.models == "gs://acme-animals_models"
    assert (deploy.namespace, deploy.url) == ("menagerie", "http://animals-website.menagerie.svc.cluster.local")
    assert steps.result == "gs://acme-animals_models/runs/r1/doctor-steps.json"
    assert deploy.result == "gs://acme-animals_models/runs/r1/doctor-deploy.json"


# Its runs: Airflow's own loop, a real step.


@pytest.fixture(scope="module")
def buckets() -> Iterator[None]:
    with airflow():
        for name in NAMES:
            (BUCKETS / name).mkdir(parents=True)
        try:
            yield
        finally:
            shutil.rmtree(BUCKETS)


def run(doctor: Any) -> tuple[str, dict[str, str]]:
    """The state of a run, and of its tasks."""
    done = doctor.test()
    return str(done.state), {task.task_id: str(task.state) for task in done.get_task_instances()}


def test_a_run_on_a_machine_that_is_set_up_shows_one_table(
    doctor: Any, buckets: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(doctor) == ("success", dict.fromkeys(("coordinator", "steps", "table"), "success"))
    said = capfd.readouterr().out
    for row in ("ok       coordinator: launcher ", "ok       steps: bucket predicted ", "ok       steps: champion "):
        assert any(line.startswith(row) for line in said.splitlines()), row


def test_a_run_with_a_bucket_missing_fails_and_the_table_says_what_to_do(
    doctor: Any, buckets: None, capfd: pytest.CaptureFixture[str]
) -> None:
    (BUCKETS / "animals_predicted").rename(BUCKETS / "elsewhere")
    assert run(doctor) == ("failed", {"coordinator": "success", "steps": "failed", "table": "failed"})
    lines = capfd.readouterr().out.splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.startswith("failed   steps: bucket predicted ")]
    assert lines[at + 1].strip().startswith(f"remedy: Create the folder {BUCKETS}/animals_predicted")
    assert any(line.startswith("ok       coordinator: bucket animals_models ") for line in lines)
