"""A whole run on a real cluster: kind, GKE, any. Skipped unless variables say where.

MENAGERIE_TEST_KUBECONFIG leads to it, MENAGERIE_TEST_IMAGE is an image (target `train`) by digest, MENAGERIE_TEST_BUCKETS
what the four buckets' URIs begin with. The namespace MENAGERIE_TEST_NAMESPACE (default menagerie) exists, and its accounts, as
well as this machine, may use the buckets.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from airflow.models.dagbag import DagBag
from airflow.sdk import ObjectStoragePath
from kubernetes import config
from kubernetes.dynamic import DynamicClient
from menagerie import documents
from menagerie.settings import settings

from tests.cluster.websites import MANIFESTS
from tests.e2e.pipeline import Run, airflow, run
from tests.plugins.airflow_home import MODEL_PYTHON, REPO

NEEDED = [f"MENAGERIE_TEST_{name}" for name in ("KUBECONFIG", "IMAGE", "BUCKETS")]
MISSING = [name for name in NEEDED if not os.environ.get(name)]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"no real cluster: set {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def accounts(kubeconfig: str, namespace: str) -> None:
    """The accounts and the Role that are shipped, as an administrator applies them."""
    with config.new_client_from_config(kubeconfig) as api:
        text = (MANIFESTS / "rbac.yaml").read_text().replace("namespace: menagerie", f"namespace: {namespace}")
        dynamic = DynamicClient(api)
        for document in yaml.safe_load_all(text):
            kind = dynamic.resources.get(api_version=document["apiVersion"], kind=document["kind"])
            kind.server_side_apply(body=document, namespace=namespace, field_manager="test")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    kubeconfig, image, buckets = (os.environ[name] for name in NEEDED)
    namespace = os.environ.get("MENAGERIE_TEST_NAMESPACE", "menagerie")
    accounts(kubeconfig, namespace)
    pictures: Path = tmp_path_factory.mktemp("pictures")
    command = [str(MODEL_PYTHON), "-m", "demo.pictures", str(pictures), "--per-kind", "6"]
    subprocess.run(command, cwd=REPO, check=True, timeout=60, stdout=subprocess.DEVNULL)
    with airflow() as patch:
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": kubeconfig}}
        variables = {
            "MENAGERIE_LAUNCHER": "kubernetes",
            "MENAGERIE_IMAGE": image,
            "MENAGERIE_SERVE_IMAGE": image,
            "MENAGERIE_BUCKETS": buckets,
            "MENAGERIE_NAMESPACE": namespace,
            "MENAGERIE_POLL": "5",
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.delenv("MENAGERIE_SITE_URL", raising=False)
        settings.cache_clear()
        for path in pictures.iterdir():
            if path.is_file():
                ObjectStoragePath(f"{settings().bucket('animals_all')}/{path.name}").write_bytes(path.read_bytes())
        dag = DagBag(REPO / "dags", include_examples=False).dags["animals_pipeline"]
        try:
            yield run(dag, epochs=1, image_size=32, weights="none", retrain="always", tolerance=1.0, min_pictures=1)
        finally:
            settings.cache_clear()


def test_pictures_become_a_model_on_a_website(done: Run) -> None:
    assert done.errors == []
    assert done.state == "success"
    assert {"plan", "sort", "train", "judge", "promote", "deploy", "reap"} <= done.states("success")


def test_the_champion_is_what_the_run_trained(done: Run) -> None:
    champion = documents.champion(f"{os.environ['MENAGERIE_TEST_BUCKETS']}animals_models/resnet34/champion.json")
    assert champion is not None
    assert champion["run"] == done.name
