"""The pipeline with each launcher: what it imports, how its steps run, what it asks for, how a run of it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from tests.plugins.airflow_home import BUCKETS, REPO

DIGEST = "sha256:" + "0" * 64
PODS = {
    "MENAGERIE_CLUSTER": "projects/acme/locations/europe-west1/clusters/animals",
    "MENAGERIE_IMAGE": f"example.com/train@{DIGEST}",
    "MENAGERIE_SERVE_IMAGE": f"example.com/serve@{DIGEST}",
    "MENAGERIE_SITE_URL": "",
}
LOAD = f"""
import json, sys, warnings
from airflow.models.dagbag import DagBag
from airflow.serialization.serialized_objects import SerializedDAG
warnings.simplefilter("error")
with warnings.catch_warnings():
    if sys.argv[1] != "local":  # what Airflow's own imports warn of is none of ours
        warnings.simplefilter("ignore")
        import airflow.providers.google.cloud.operators.kubernetes_engine
    warnings.simplefilter("error")
    bag = DagBag({str(REPO / "dags")!r}, include_examples=False)
dag = bag.dags["animals_pipeline"]
SerializedDAG.to_dict(dag)
def bases(task):
    cls = task.operator_class if task.is_mapped else type(task)
    return [base.__name__ for base in cls.__mro__]
print(json.dumps({{
    "errors": bag.import_errors,
    "params": list(dag.params),
    "steps": {{t.task_id: bases(t) for t in dag.tasks if "argv" in (t.template_fields or ())}},
    "argv": {{t.task_id: t.argv for t in dag.tasks if hasattr(t, "argv")}},
    "hours": {{t.task_id: t.execution_timeout.total_seconds() / 3600 for t in dag.tasks if t.execution_timeout}},
    "downstream": {{t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks}},
    "teardowns": {{t.task_id: t.on_failure_fail_dagrun for t in dag.tasks if t.is_teardown}},
    "links": [link.name for link in dag.get_task("evaluate").operator_extra_links],
    "kubernetes": "kubernetes" in sys.modules,
}}))
"""
STEPS = [
    *("deploy", "evaluate", "judge", "plan", "predict", "promote", "snapshot", "snapshot_model", "sort", "train"),
]
MAPPED = {"sort", "predict"}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What a fresh interpreter finds with each launcher."""

    def load(launcher: str) -> Any:
        environment = dict(os.environ) | ({} if launcher == "local" else PODS) | {"MENAGERIE_LAUNCHER": launcher}
        command = [sys.executable, "-c", LOAD, launcher]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return {launcher: load(launcher) for launcher in ("local", "kubernetes", "gke")}


@pytest.mark.parametrize(
    ("launcher", "operator"),
    [("local", "LocalStepOperator"), ("kubernetes", "KubernetesPodOperator"), ("gke", "GKEStartPodOperator")],
)
def test_every_step_is_run_by_the_launchers_operator(found: Any, launcher: str, operator: str) -> None:
    assert found[launcher]["errors"] == {}
    assert sorted(found[launcher]["steps"]) == STEPS
    for step, bases in found[launcher]["steps"].items():
        assert operator in bases, step


def test_local_steps_pay_for_no_import_of_kubernetes(found: Any) -> None:
    assert found["local"]["kubernetes"] is False


def test_the_report_is_linked_beside_what_airflow_links_itself(found: Any) -> None:
    assert found["local"]["links"] == found["kubernetes"]["links"] == ["Report"]
    assert found["gke"]["links"] == ["Kubernetes Pod", "Report"]


def test_only_pods_have_what_is_of_pods(found: Any) -> None:
    extra = {"pods", "canary_percent", "canary_minutes"}
    assert extra & set(found["local"]["params"]) == set()
    assert "reap" not in found["local"]["downstream"]
    for launcher in ("kubernetes", "gke"):
        assert set(found[launcher]["params"]) == set(found["local"]["params"]) | extra
        last = {task for task, after in found[launcher]["downstream"].items() if after == ["reap"]}
        assert last == {"nothing_new", "keep_champion", "snapshot_model", "deploy"}
        reaped = {task for task, after in found[launcher]["downstream"].items() if "reap" in after}
        assert reaped == last | set(STEPS)  # no pod is deleted while its task, or one beside it, goes on
        assert found[launcher]["teardowns"] == {"reap": False}


def test_all_launchers_run_the_same_command_lines_but_for_deploy(found: Any) -> None:
    for step in set(STEPS) - {"deploy"} - MAPPED:
        assert found["local"]["argv"][step] == found["gke"]["argv"][step] == found["kubernetes"]["argv"][step]


def test_pods_are_deployed_beside_themselves(found: Any) -> None:
    filled = {"canary_percent": "10", "canary_minutes": "5", "run_id | run_name": "r1"}
    words = found["gke"]["argv"]["deploy"]
    for name, value in filled.items():
        words = [word.replace(f"{{{{ params.{name} }}}}", value).replace(f"{{{{ {name} }}}}", value) for word in words]
    step = contract.parse(words)
    assert isinstance(step, contract.Deploy)
    assert (step.target, step.namespace, step.image) == ("kubernetes", "menagerie", f"example.com/serve@{DIGEST}")
    assert step.url == "http://animals-website.menagerie.svc.cluster.local"
    assert step.predicted == f"file://{BUCKETS}/animals_predicted"
    assert (step.timeout, step.canary_percent, step.canary_minutes) == (900, 10, 5)


def test_a_task_outlives_its_pods_deadline_by_the_time_the_pod_may_wait(found: Any) -> None:
    for step in STEPS:
        assert found["gke"]["hours"][step] == pytest.approx(found["local"]["hours"][step] + 40 / 60)
    assert found["local"]["hours"]["train"] == 12


# How a run ends.

SMALL = """
import json
from datetime import datetime
from airflow.providers.common.compat.sdk import BaseOperator, dag
from airflow.providers.standard.decorators.branch_python import branch_task
from airflow.providers.standard.decorators.short_circuit import short_circuit_task
from menagerie.launchers import reap

class Fails(BaseOperator):
    def execute(self, context):
        raise ValueError("as the test wants it")

class Works(BaseOperator):
    def execute(self, context):
        return "done"

for name, operator in {"red": Fails, "green": Works}.items():
    @dag(dag_id=name, schedule=None, start_date=datetime(2026, 1, 1))
    def small():
        operator(task_id="step") >> reap(task_id="reap")  # without a cluster: it fails too
    small()

@branch_task
def way():
    return "taken"

@short_circuit_task
def wanted():
    return False

@dag(dag_id="branched", schedule=None, start_date=datetime(2026, 1, 1))
def branched():
    taken, left, after_left, never = (Works(task_id=name) for name in ("taken", "left", "after_left", "never"))
    first = Works(task_id="step")
    first >> way() >> [taken, left]
    left >> after_left
    taken >> wanted() >> never
    [first, taken, left, after_left, never] >> reap(task_id="reap")
branched()

if __name__ == "__main__":
    from airflow.models.dagbag import DagBag
    from airflow.utils.db import initdb
    initdb()
    runs = {name: small.test() for name, small in DagBag(include_examples=False).dags.items()}
    states = {name: {t.task_id: t.state for t in run.get_task_instances()} for name, run in runs.items()}
    print(json.dumps({name: [run.state, states[name]["step"], states[name]["reap"]] for name, run in runs.items()}))
"""


def test_the_reaper_makes_no_failed_run_green_and_no_good_one_red(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/small.py").write_text(SMALL)
    its_own = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "PYTHONPATH": str(REPO / "plugins"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, str(tmp_path / "dags/small.py")]
    done = subprocess.run(command, env=os.environ | its_own, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "red": ["failed", "failed", "failed"],
        "green": ["success", "success", "failed"],
        "branched": ["success", "success", "failed"],  # it runs, whatever the branches skipped
    }
