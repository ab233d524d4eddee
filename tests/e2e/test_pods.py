"""The whole pipeline in pods: launcher `gke`, deferred, against a cluster whose pods are processes, under the shipped Roles.

Three runs: the first model; a second one whose training is evicted in its middle and whose API server goes away; a third
whose website crashes. The website is asked all the time from the end of the first.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import menagerie_contract as contract
import pytest
import yaml
from menagerie.launchers import pod_step, visits
from menagerie.settings import settings

from tests.cluster.websites import MANIFESTS, Load
from tests.e2e.pipeline import Pipeline, Run, airflow
from tests.plugins.airflow_home import REPO
from tests.plugins.google import replace_google
from tests.support.k8s.cluster import Cluster
from tests.support.k8s.faults import Fault

# Airflow's API server runs in this process; its clients leave connections and log streams to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PARAMS = {"image_size": 32, "weights": "none", "retrain": "always"}
# Any candidate wins, on whatever few pictures.
PARAMS |= {"tolerance": 1.0, "min_pictures": 1, "min_support": 1000, "max_ece_loss": 1.0, "max_latency_loss": 1000.0}
IMAGES = {name: f"europe-docker.pkg.dev/acme/menagerie/{name}@sha256:{'a' * 64}" for name in ("train", "serve")}


@dataclass
class Story:
    """What happened, in this order."""

    cluster: Cluster
    pipeline: Pipeline
    first: Run
    second: Run
    third: Run
    champions: list[dict[str, Any]]  # the pointer after each run
    served: list[str]  # the model that the website served after each run
    evicted: Fault
    load: Load


def coordinator(cluster: Cluster) -> str:
    """The token of an account with the Role that infra/ gives Composer."""
    text = (REPO / "infra/kubernetes/coordinator.yaml").read_text().replace("${namespace}", contract.NAMESPACE)
    role = re.search(r"---\n(apiVersion: rbac\S+\nkind: Role\n.*?)(?=---)", text, re.DOTALL)
    assert role is not None
    meta = {"name": "composer", "namespace": contract.NAMESPACE}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": yaml.safe_load(role[1])["metadata"]["name"],
        },
        "subjects": [{"kind": "ServiceAccount", **meta}],
    }
    cluster.apply(role[1], account, binding)
    return cluster.account_token("composer")


@contextlib.contextmanager
def coordinated(cluster: Cluster, buckets: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings as on Composer, for launcher gke."""
    variables = {
        "MENAGERIE_LAUNCHER": "gke",
        "MENAGERIE_CLUSTER": "projects/acme/locations/europe-west1/clusters/menagerie",
        "MENAGERIE_CLUSTER_ENDPOINT": "private",
        "MENAGERIE_IMAGE": IMAGES["train"],
        "MENAGERIE_SERVE_IMAGE": IMAGES["serve"],
        "MENAGERIE_BUCKETS": f"file://{buckets}/",
        "MENAGERIE_REGISTRY": f"file://{buckets}/registry.git",
        "MENAGERIE_POLL": "1",
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps({"conn_type": "google_cloud_platform"}),
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    patch.delenv("MENAGERIE_SITE_URL")
    replace_google(patch, cluster, coordinator(cluster))
    patch.setattr(pod_step, "LOOK", 0.2)
    patch.setattr(visits, "PAUSE", 0.5)
    settings.cache_clear()
    try:
        yield
    finally:
        settings.cache_clear()


def api_goes_away(cluster: Cluster) -> threading.Thread:
    """Take the API server away for two seconds while the evaluation runs."""

    def wait_and_restart() -> None:
        cluster.wait(lambda: running(cluster, "evaluate"), seconds=200)
        cluster.restart_api(2.0)

    thread = threading.Thread(target=wait_and_restart)
    thread.start()
    return thread


def running(cluster: Cluster, step: str) -> bool:
    return any(pod["status"].get("phase") == "Running" for pod in cluster.pods(f"menagerie.dev/step={step}"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    root = tmp_path_factory.mktemp("pods")
    with airflow() as patch, Cluster(root, tls=True) as cluster, coordinated(cluster, root / "buckets", patch):
        cluster.apply(MANIFESTS / "rbac.yaml")
        site = cluster.service_url(contract.WEBSITE)
        pipeline = Pipeline(root / "buckets")
        champions, served = [], []

        def run(seed: int, epochs: int) -> Run:
            pipeline.arrive(seed, root / f"batch-{seed}")
            done = pipeline.run(**PARAMS, epochs=epochs)
            champions.append(json.loads((pipeline.models / "resnet34/champion.json").read_text()))
            served.append(ready(site))
            return done

        first = run(1, epochs=1)
        with Load(site) as load:
            evicted = cluster.fault("preempt", {"menagerie.dev/step": "train"}, at_line="epoch 1 of")
            restart = api_goes_away(cluster)
            second = run(2, epochs=2)
            restart.join()
            cluster.fault("crash", {"app.kubernetes.io/name": contract.WEBSITE}, new_template=True)
            third = run(3, epochs=1)
        yield Story(cluster, pipeline, first, second, third, champions, served, evicted, load)


def ready(site: str) -> str:
    """The model that the website serves."""
    found: str = httpx.get(f"{site}/readyz", timeout=10, trust_env=False).json()["model"]
    return found


# The first run.


def test_the_first_run_goes_from_pictures_to_a_website_on_the_cluster(story: Story) -> None:
    assert story.first.errors == []
    assert story.first.state == "success"
    assert {"plan", "sort", "train", "judge", "promote", "deploy", "reap"} <= story.first.states("success")
    assert story.champions[0]["version"] == story.served[0] == story.first.result("train")["outputs"]["version"]


def test_every_step_ran_in_a_pod_of_its_own_by_digest_and_without_rights(story: Story) -> None:
    created = [json.loads(request.body) for request in story.cluster.asked("POST", "/pods")]
    steps = [pod for pod in created if "menagerie.dev/step" in pod["metadata"]["labels"]]
    for pod in steps:
        (container,) = pod["spec"]["containers"]
        step = pod["metadata"]["labels"]["menagerie.dev/step"]
        assert container["image"] == IMAGES["serve" if step == "deploy" else "train"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is (step == "deploy")


def test_nothing_is_left_of_steps_that_went_well(story: Story) -> None:
    left = story.cluster.pods("app.kubernetes.io/managed-by=menagerie,menagerie.dev/step")
    assert {pod["status"]["phase"] for pod in left} == {"Failed"}
    assert {pod["metadata"]["labels"]["menagerie.dev/step"] for pod in left} == {"train", "deploy"}


# The second: a training evicted, an API server restarted.


def test_an_evicted_training_goes_on_where_it_was(story: Story) -> None:
    assert len(story.evicted.hits) == 1
    (error,) = story.second.errors
    assert "train was taken off its node" in error
    assert story.second.tasks["train"] == [("success", 2)]
    assert story.second.result("train")["counts"]["resumed"] is True


def test_the_run_is_green_although_the_api_went_away(story: Story) -> None:
    assert story.second.state == "success"
    assert story.second.tasks["evaluate"] == [("success", 1)]
    assert story.second.result("evaluate")["counts"]["pictures"] == 36


def test_the_website_serves_the_champion_of_the_second_run(story: Story) -> None:
    assert story.served[1] == story.champions[1]["version"]


# The third: a website that crashes.


def test_a_model_whose_website_crashes_is_taken_back(story: Story) -> None:
    assert story.third.state == "failed"
    assert "CrashLoopBackOff" in story.third.errors[-1]
    assert story.served[2] == story.served[1]


def test_the_champion_pointer_went_back_with_it(story: Story) -> None:
    pointer = story.champions[2]
    assert pointer["version"] == story.champions[1]["version"]
    assert pointer["withdrawn"]["version"] == story.third.result("train")["outputs"]["version"]


def test_the_website_answered_every_request_of_both_runs(story: Story) -> None:
    assert story.load.failed == []
    assert story.load.answers > 100
