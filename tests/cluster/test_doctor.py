"""The doctor and a cluster: is it reached, is the shipped Role enough for the account that asks, and do its pods start?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from menagerie import checkup
from menagerie.settings import read

from tests.plugins.airflow_home import MODEL_PYTHON, REPO
from tests.support.k8s.cluster import Cluster

RBAC = REPO / "model_service/deploy/manifests/rbac.yaml"
TRAIN, SERVE = (f"example/{target}@sha256:{'0' * 64}" for target in ("train", "serve"))
WORDS = ["python", "-m", "model_service", "doctor", "--namespace=menagerie"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def models(tmp_path: Path) -> str:
    (tmp_path / "animals_models").mkdir()
    return f"--models=file://{tmp_path}/animals_models"


def in_a_pod(cluster: Cluster, models: str, account: str) -> tuple[str, str]:
    """The phase in which the doctor's pod of that service account ends, and its log."""
    container = {"name": "base", "image": "example/model_service", "command": [*WORDS, models]}
    spec = {"serviceAccountName": account, "restartPolicy": "Never", "containers": [container]}
    meta = {"name": "doctor", "namespace": "menagerie", "labels": {"app": "doctor"}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    over = ("Succeeded", "Failed")
    cluster.wait(lambda: cluster.pods("app=doctor")[0]["status"]["phase"] in over, seconds=30)
    headers = {"Authorization": f"Bearer {cluster.token}"}
    url = f"{cluster.url}/api/v1/namespaces/menagerie/pods/doctor/log"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return cluster.pods("app=doctor")[0]["status"]["phase"], answer.read().decode()


def from_outside(models: str, kubeconfig: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(MODEL_PYTHON), "-W", "error", *WORDS[1:], models],
        cwd=REPO,
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def row(said: str, check: str) -> str:
    (line,) = [line for line in said.splitlines() if line[9:].startswith(f"{check} ")]
    return line


def test_the_account_of_deploy_may_do_all_that_the_shipped_role_says(cluster: Cluster, models: str) -> None:
    cluster.apply(RBAC)
    phase, log = in_a_pod(cluster, models, "menagerie-deploy")
    assert phase == "Succeeded", log
    found = row(log, "cluster")
    assert found.startswith("ok ")
    assert f"{cluster.url} answers; all " in found


def test_an_account_without_the_role_is_told_what_it_may_not_and_how_to_bind_it(cluster: Cluster, models: str) -> None:
    cluster.apply(RBAC)
    phase, log = in_a_pod(cluster, models, "default")
    assert phase == "Failed"
    found = row(log, "cluster")
    assert found.startswith("failed ")
    assert "in namespace menagerie this account may not create services, " in found
    assert "patch deployments.apps animals-website" in found
    assert "Apply model_service/deploy/manifests/rbac.yaml with namespace menagerie in it" in log


def test_a_single_right_that_is_missing_is_named(cluster: Cluster, models: str) -> None:
    documents = list(yaml.safe_load_all(RBAC.read_text()))
    (role,) = [one for one in documents if one["kind"] == "Role"]
    role["rules"] = [rule for rule in role["rules"] if rule["resources"] != ["pods/log"]]
    cluster.apply(*documents)
    _, log = in_a_pod(cluster, models, "menagerie-deploy")
    assert row(log, "cluster").endswith("in namespace menagerie this account may not get pods/log")


def test_from_outside_it_goes_by_the_kubeconfig(cluster: Cluster, models: str) -> None:
    ran = from_outside(models, cluster.kubeconfig)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert row(ran.stdout, "cluster").startswith("ok ")


def test_a_cluster_that_does_not_answer_is_a_row(cluster: Cluster, models: str) -> None:
    cluster.close()
    ran = from_outside(models, cluster.kubeconfig)
    assert ran.returncode == 1
    assert row(ran.stdout, "cluster").startswith("failed ")
    assert row(ran.stdout, "bucket models").startswith("ok ")


def test_a_token_that_the_cluster_does_not_know_is_a_row(cluster: Cluster, models: str, tmp_path: Path) -> None:
    config = tmp_path / "other"
    config.write_text(cluster.kubeconfig.read_text().replace(cluster.token, "expired"))
    ran = from_outside(models, config)
    assert ran.returncode == 1
    assert "Unauthorized" in row(ran.stdout, "cluster")


# Airflow, which starts pods and looks after them.


def test_rights_that_airflow_lacks_are_named(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "of-nobody"
    config.write_text(
        cluster.kubeconfig.read_text().replace(cluster.token, cluster.api.access.token("menagerie", "default"))
    )
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection(config)))
    variables = {"LAUNCHER": "kubernetes", "BUCKETS": "gs://", "IMAGE": TRAIN, "SERVE_IMAGE": SERVE}
    finding = checkup.launcher(read({f"MENAGERIE_{name}": value for name, value in variables.items()}))
    assert finding.state == "failed"
    assert "in namespace menagerie Airflow may not create pods, get pods, " in finding.found
    assert finding.found.endswith("get pods/log, list events, watch events")
    assert "infra/kubernetes/coordinator.yaml" in finding.remedy


def connection(kubeconfig: Path) -> dict[str, Any]:
    return {"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}}


# The DAG, whose looks are pods.

RUN = """
import functools, json, sys
from airflow.models.dagbag import DagBag
from airflow.sdk.execution_time import supervisor
from airflow.utils.db import initdb
initdb()
# dag.test builds its API server anew for each task, which takes 1.6 s: one for all of them does as well.
supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
run = DagBag(sys.argv[1], include_examples=False).dags["menagerie_doctor"].test()
print(json.dumps({task.task_id: str(task.state) for task in run.get_task_instances()}))
"""


def run_dag(cluster: Cluster, folder: Path) -> tuple[dict[str, str], str]:
    """The states of the tasks of a run in an Airflow of its own, and its log."""
    for name in ("animals_all", "animals_to_predict", "animals_predicted", "animals_models"):
        (folder / "buckets" / name).mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MENAGERIE_")}
    variables = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection(cluster.kubeconfig)),
        "PYTHONPATH": str(REPO / "plugins"),
        "MENAGERIE_LAUNCHER": "kubernetes",
        "MENAGERIE_BUCKETS": f"file://{folder}/buckets/",
        "MENAGERIE_IMAGE": TRAIN,
        "MENAGERIE_SERVE_IMAGE": SERVE,
        "MENAGERIE_DEFERRABLE": "false",
        "MENAGERIE_POLL": "1",
    }
    command = [sys.executable, "-c", RUN, str(REPO / "dags")]
    ran = subprocess.run(
        command, env=kept | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout
    return json.loads(ran.stdout.splitlines()[-1]), ran.stdout


def test_each_image_and_account_has_a_pod_and_the_table_shows_what_they_saw(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(RBAC)
    states, log = run_dag(cluster, tmp_path)
    assert set(states.values()) == {"success"}, log
    pods = [request.data["spec"] for request in cluster.asked("POST", "/pods")]
    assert {(pod["serviceAccountName"], pod["containers"][0]["image"]) for pod in pods} == {
        ("menagerie-step", TRAIN),
        ("menagerie-deploy", SERVE),
    }
    assert len(pods) == 2
    assert row(log, "coordinator: launcher").endswith("Airflow may look after pods in namespace menagerie")
    assert row(log, "steps: bucket source").startswith("ok ")
    assert "all " in row(log, "deploy: cluster")
    cluster.wait(lambda: cluster.pods() == [])


def test_an_image_that_cannot_be_pulled_fails_the_run_and_hides_no_other_row(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(RBAC)
    cluster.fault("image-pull", {"task_id": "deploy"})
    states, log = run_dag(cluster, tmp_path)
    assert (states["steps"], states["deploy"], states["table"]) == ("success", "failed", "failed")
    assert "ErrImagePull" in log
    assert row(log, "steps: bucket source").startswith("ok ")
    assert row(log, "deploy").startswith("failed ")
