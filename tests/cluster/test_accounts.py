"""The accounts of the steps' pods: what infra/ gives them and what model_service ships do not undo each other.

Server-side apply removes what a field manager set before and no longer sets
(https://kubernetes.io/docs/reference/using-api/server-side-apply/), so the two are applied as different managers.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from tests.cluster.websites import MANIFESTS, PYTHON, REPO
from tests.support.k8s.cluster import Cluster

ANNOTATION = "iam.gke.io/gcp-service-account"
KUBECTL = "kubectl"  # the field manager of `kubectl apply --server-side` without --field-manager
_EVALUATE = """
import json, sys
from pathlib import Path
from tests.infra.configuration import INFRA, evaluate, workspace
folder = workspace(Path(sys.argv[1]))
print(json.dumps(evaluate(folder, f"-var-file={INFRA / 'dev.tfvars'}")["kubernetes"]))
"""
pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not on PATH")


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`terraform output kubernetes` of the development environment."""
    folder = tmp_path_factory.mktemp("terraform")
    command = [PYTHON, "-c", _EVALUATE, folder]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text: str = json.loads(done.stdout)
    return text


def manager_of_infra() -> str:
    (named,) = set(
        re.findall(
            r"output kubernetes .*kubectl apply .*--field-manager=(\S+)", (REPO / "docs/composer.md").read_text()
        )
    )
    return named


@pytest.mark.parametrize(
    "order", [("infra", "shipped"), ("shipped", "infra"), ("infra", "shipped", "infra", "shipped")]
)
def test_ties_labels_and_tokens_survive_whatever_is_applied_last(
    order: tuple[str, ...], infra: str, tmp_path: Path
) -> None:
    documents = {
        "infra": (manager_of_infra(), infra),
        "shipped": (KUBECTL, (MANIFESTS / "rbac.yaml").read_text()),
    }
    with Cluster(tmp_path) as cluster:
        for name in order:
            manager, text = documents[name]
            apply(cluster, manager, text)
        step, deploy = account(cluster, "menagerie-step"), account(cluster, "menagerie-deploy")

    for found in (step, deploy):
        email = f"{found.metadata.name}@acme-animals-dev.iam.gserviceaccount.com"
        assert found.metadata.annotations == {ANNOTATION: email}
        assert found.metadata.labels == {"app.kubernetes.io/managed-by": "menagerie"}
    assert step.automount_service_account_token is False
    assert deploy.automount_service_account_token is None  # deploy speaks with the cluster


def test_deploy_keeps_the_tie_of_the_websites_account(infra: str, tmp_path: Path) -> None:
    shipped = (MANIFESTS / "account.yaml").read_text()
    with Cluster(tmp_path) as cluster:
        for manager, text in [(manager_of_infra(), infra), ("menagerie", shipped), (manager_of_infra(), infra)]:
            apply(cluster, manager, text)
        website = account(cluster, "animals-website")

    assert website.metadata.annotations[ANNOTATION].startswith("animals-website@")
    assert website.metadata.labels["app.kubernetes.io/name"] == "animals-website"
    assert website.automount_service_account_token is False


def apply(cluster: Cluster, manager: str, text: str) -> None:
    """Each namespaced object of a YAML text, as `kubectl apply --server-side --field-manager=…` does."""
    pool = config.new_client_from_config(str(cluster.kubeconfig)).rest_client.pool_manager
    headers = {"Content-Type": "application/apply-patch+yaml", "Authorization": f"Bearer {cluster.token}"}
    for document in yaml.safe_load_all(text):
        if document["kind"] == "Namespace":
            continue  # it is there
        group = "api/v1" if document["apiVersion"] == "v1" else f"apis/{document['apiVersion']}"
        path = f"/{group}/namespaces/menagerie/{document['kind'].lower()}s/{document['metadata']['name']}"
        answer = pool.request(
            "PATCH", f"{cluster.url}{path}?fieldManager={manager}", json.dumps(document), headers=headers
        )
        assert answer.status in (200, 201), answer.data


def account(cluster: Cluster, name: str) -> Any:
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    return core.read_namespaced_service_account(name, "menagerie")
