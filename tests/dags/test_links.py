"""The buttons of tasks, as Airflow's API gives them to its page: of a task that made a report, and of one that failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.plugins.airflow_home import REPO

DAGS = """
from datetime import datetime
import menagerie_contract as contract
from airflow.providers.common.compat.sdk import dag
from menagerie.launchers import launch
from menagerie.links import Report

for name in ("makes_one", "fails"):
    @dag(dag_id=name, schedule=None, start_date=datetime(2026, 1, 1))
    def small():
        fields = {"run": "r", "models": "file:///m", "predicted": "file:///p", "model": "v1"}
        launch(
            contract.Evaluate(**fields, result=f"file://{__file__}.{name}.json"), task_id="evaluate", links=[Report()]
        ) >> launch(contract.Train(run="r", models="file:///m", result=f"file://{__file__}.train.json"), task_id="train")
    small()
"""
STEP = """#!/bin/sh
# A model environment whose steps do nothing: the one named `fails` says so.
for word; do case $word in --result=file://*) result=${word#--result=file://} ;; esac; done
case $result in *fails*) exit 1 ;; *) echo '{"status": "ok"}' >"$result" ;; esac
"""
ASK = """
import json
from airflow.api_fastapi.app import create_app
from airflow.models.dagbag import DagBag
from airflow.utils.db import initdb
from fastapi.testclient import TestClient
initdb()
runs = {name: dag.test() for name, dag in DagBag(include_examples=False).dags.items()}
answers = {}
with TestClient(create_app("core")) as client:
    token = client.get("/auth/token").json()["access_token"]
    for name, run in runs.items():
        for task in ("evaluate", "train"):
            path = f"/api/v2/dags/{name}/dagRuns/{run.run_id}/taskInstances/{task}/links"
            found = client.get(path, headers={"Authorization": f"Bearer {token}"})
            answers[f"{name} {task}"] = [found.status_code, found.json().get("extra_links")]
print(json.dumps({"runs": {name: [run.run_id, run.state] for name, run in runs.items()}, "answers": answers}))
"""


def test_airflows_api_links_a_run_to_its_report_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/small.py").write_text(DAGS)
    (tmp_path / "step").write_text(STEP)
    (tmp_path / "step").chmod(0o755)
    its_own = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "MENAGERIE_MODEL_PYTHON": str(tmp_path / "step"),
        "MENAGERIE_SITE_URL": "http://127.0.0.1:5999",
        "PYTHONPATH": str(REPO / "plugins"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, env=os.environ | its_own, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert {name: state for name, (_, state) in said["runs"].items()} == {"makes_one": "success", "fails": "failed"}
    run = said["runs"]["makes_one"][0].replace(":", "-").replace("+", "-")
    assert said["answers"] == {
        "makes_one evaluate": [200, {"Report": f"http://127.0.0.1:5999/report/{run}"}],
        "makes_one train": [200, {}],
        "fails evaluate": [200, {"Report": None}],  # no button
        "fails train": [200, {}],
    }
