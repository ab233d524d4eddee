"""A person's word on a candidate that won: what is asked, where either answer leads, and what silence means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.airflow_home import PODS, REPO

DAGS = """
from datetime import datetime
import menagerie_contract as contract
from airflow.providers.common.compat.sdk import Param, TriggerRule, dag
from airflow.providers.standard.decorators.python import python_task
from menagerie import approval

PARAMS = {"approval_hours": Param(24, type="number"), "epochs": Param(10, type="integer")}

@dag(dag_id="asks", schedule=None, start_date=datetime(2026, 1, 1), params=PARAMS,
     default_args={"retries": 2}, user_defined_filters={"run_name": contract.run_name})
def asks():
    @python_task
    def champion():
        return "v1"

    @python_task
    def train():
        return {"outputs": {"version": "v2"}}

    @python_task
    def judge():
        return {"counts": {"reason": "93.0 % against 90.0 %"}}

    @python_task
    def promote():
        return "promoted"

    @python_task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def keep_champion():
        return "kept"

    asked = approval.ask(task_id="approve", approved="promote", rejected="keep_champion")
    [champion(), train(), judge()] >> asked >> [promote(), keep_champion()]

asks()
"""
ANSWER = """
import functools, json, threading, time
from types import SimpleNamespace
from airflow.api_fastapi.app import create_app
from airflow.models.dagbag import DagBag
from airflow.models.hitl import HITLDetail
from airflow.providers.standard.triggers import hitl
from airflow.sdk.execution_time import supervisor
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.timezone import utcnow
from fastapi.testclient import TestClient

initdb()
supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)  # as in tests/e2e
# dag.test gives a trigger no way to the API server: what the trigger asks of it is read from the database here.
hitl.HITLTrigger.__init__.__kwdefaults__["poke_interval"] = 0.2

def detail(ti_id):
    with create_session() as session:
        row = session.get(HITLDetail, str(ti_id))
        who = row.responded_by_user and SimpleNamespace(**row.responded_by_user)
        return SimpleNamespace(responded_by_user=who, **{key: getattr(row, key) for key in (
            "response_received", "chosen_options", "params_input", "responded_at")})

def answered(ti_id, chosen_options, params_input):
    with create_session() as session:
        row = session.get(HITLDetail, str(ti_id))
        row.chosen_options, row.params_input, row.responded_at = chosen_options, params_input, utcnow()
    return detail(ti_id)

hitl.get_hitl_detail_content_detail, hitl.update_hitl_detail_response = detail, answered

def person(client, answer, asked):
    while not (found := client.get("/api/v2/dags/asks/dagRuns/~/hitlDetails?response_received=false").json()["hitl_details"]):
        time.sleep(0.2)
    asked.update(found[0])
    if answer:
        task = found[0]["task_instance"]
        path = f"/api/v2/dags/asks/dagRuns/{task['dag_run_id']}/taskInstances/approve/-1/hitlDetails"
        said = client.patch(path, json={"chosen_options": [answer], "params_input": {}})
        assert said.status_code == 200, said.text

runs = {}
dag = DagBag(include_examples=False).dags["asks"]
with TestClient(create_app("core")) as client:
    token = client.get("/auth/token").json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    for answer, hours in (("Approve", 1.0), ("Reject", 1.0), ("", 0.002)):
        asked = {}
        thread = threading.Thread(target=person, args=(client, answer, asked), daemon=True)
        thread.start()
        run = dag.test(run_conf={"approval_hours": hours})
        thread.join(30)
        runs[answer] = {
            "state": run.state,
            "tasks": {t.task_id: t.state for t in run.get_task_instances()},
            "asked": {key: asked.get(key) for key in ("subject", "body", "options", "defaults", "params")},
        }
print(json.dumps(runs))
"""


def airflow(home: Path, code: str, *arguments: str, **variables: str) -> Any:
    """What a fresh interpreter prints last, as JSON, with an Airflow of its own that has the DAG `asks`."""
    (home / "dags").mkdir()
    (home / "dags/asks.py").write_text(DAGS)
    its_own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "PYTHONPATH": str(REPO / "plugins"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | its_own | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of a run whose candidate somebody approved, or rejected, or (under no name) nobody looked at."""
    found: dict[str, Any] = airflow(tmp_path_factory.mktemp("asks"), ANSWER)
    return found


@pytest.mark.parametrize(
    ("answer", "goes_on", "left"),
    [
        ("Approve", "promote", "keep_champion"),
        ("Reject", "keep_champion", "promote"),
        ("", "keep_champion", "promote"),
    ],
)
def test_an_answer_decides_and_silence_keeps_the_champion(
    runs: dict[str, Any], answer: str, goes_on: str, left: str
) -> None:
    found = runs[answer]
    assert found["state"] == "success"
    wanted = {"approve": "success", goes_on: "success", left: "skipped"}
    assert {task: found["tasks"][task] for task in wanted} == wanted


def test_what_is_asked_names_the_candidate_the_verdict_and_where_to_look(runs: dict[str, Any]) -> None:
    asked = runs["Approve"]["asked"]
    assert asked["subject"] == "Shall v2 become the champion?"
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert asked["params"] == {}  # no second form of the run's Params
    for words in ("93.0 % against 90.0 %", "champion, v1", "within 1.0 hours", "/report/manual__", "verdict.json"):
        assert words in asked["body"]


BODY = """
import json
from airflow.models.dagbag import DagBag
bag = DagBag(include_examples=False)
print(json.dumps({"errors": bag.import_errors, "body": bag.dags["asks"].get_task("approve").body}))
"""


def test_in_the_cloud_report_and_verdict_are_links(tmp_path: Path) -> None:
    found = airflow(tmp_path, BODY, **PODS)
    assert found["errors"] == {}
    run = "{{ run_id | run_name }}"
    assert f"(https://storage.cloud.google.com/acme-animals_predicted/{run}/report.html)" in found["body"]
    assert f"(https://storage.cloud.google.com/acme-animals_models/runs/{run}/verdict.json)" in found["body"]


WITHOUT = """
import json, sys
sys.modules["airflow.providers.standard.operators.hitl"] = None  # as of a provider that is too old
from airflow.models.dagbag import DagBag
from airflow.utils.db import initdb
initdb()
bag = DagBag(include_examples=False)
errors = bag.import_errors
run = bag.dags["asks"].test()
print(json.dumps({"errors": errors, "state": run.state, "tasks": {t.task_id: t.state for t in run.get_task_instances()}}))
"""


def test_an_airflow_that_cannot_ask_imports_the_dag_and_promotes_nothing_unasked(tmp_path: Path) -> None:
    found = airflow(tmp_path, WITHOUT)
    assert found["errors"] == {}
    assert found["state"] == "failed"
    assert found["tasks"]["approve"] == "failed"
    assert found["tasks"]["promote"] == "upstream_failed"
