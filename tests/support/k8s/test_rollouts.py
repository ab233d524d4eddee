"""Deployments and Services of the test cluster: rollouts of real processes under load."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.k8s.cluster import Cluster
from tests.support.k8s.documents import deployment, service
from tests.support.k8s.errors import Json, Refusal


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def load(url: str) -> Iterator[Counter[str]]:
    """Ask the site without a pause; counts what it answered, by its first word, or the error."""
    heard, done = Counter[str](), threading.Event()

    def ask() -> None:
        while not done.wait(0.01):
            try:
                heard[get(url).split()[0]] += 1
            except OSError as error:
                heard[f"error: {error}"] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield heard
    finally:
        done.set()
        thread.join()


def site(cluster: Cluster) -> Json:
    return cluster.objects("Deployment")[0]


def progress(cluster: Cluster) -> str:
    conditions = {c["type"]: c for c in site(cluster).get("status", {}).get("conditions", [])}
    return str(conditions.get("Progressing", {}).get("reason", ""))


def is_done(cluster: Cluster) -> bool:
    found = site(cluster)
    observed = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
    return observed and progress(cluster) == "NewReplicaSetAvailable" and found["status"].get("updatedReplicas") == 2


@pytest.fixture
def serving(cluster: Cluster) -> str:
    """A site of two pods that serves "one"."""
    cluster.apply(deployment("one"), service())
    cluster.wait(lambda: is_done(cluster))
    return cluster.service_url("site")


def test_a_deployment_makes_ready_pods_behind_a_service(cluster: Cluster, serving: str) -> None:
    status = site(cluster)["status"]
    assert {k: status.get(k) for k in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")} == {
        "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    }  # fmt: skip
    assert "unavailableReplicas" not in status
    pods = {pod["metadata"]["name"] for pod in cluster.pods("app=site")}
    assert {get(serving).split()[1] for _ in range(4)} == pods
    [replica_set] = cluster.objects("ReplicaSet")
    assert replica_set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert replica_set["spec"]["selector"]["matchLabels"].keys() == {"app", "pod-template-hash"}


def test_a_new_template_rolls_over_without_a_failed_request(cluster: Cluster, serving: str) -> None:
    with load(serving) as heard:
        cluster.apply(deployment("two"))
        cluster.wait(lambda: is_done(cluster) and len(cluster.pods("app=site")) == 2)
        cluster.wait(lambda: get(serving).startswith("two"))
    assert set(heard) == {"one", "two"}
    revisions = {
        rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: rs["spec"]["replicas"]
        for rs in cluster.objects("ReplicaSet")
    }
    assert revisions == {"1": 0, "2": 2}


def test_the_same_template_again_makes_no_new_replica_set(cluster: Cluster, serving: str) -> None:
    before = site(cluster)["metadata"]["resourceVersion"]
    cluster.apply(deployment("one"))
    assert site(cluster)["metadata"]["resourceVersion"] == before
    assert len(cluster.objects("ReplicaSet")) == 1


@pytest.mark.parametrize("fault", ["hang", "crash", "unready", "image-pull"])
def test_a_bad_template_stops_the_rollout_and_the_old_pods_serve_on(cluster: Cluster, serving: str, fault: str) -> None:
    struck = cluster.fault(fault, {"app": "site"}, new_template=True)
    with load(serving) as heard:
        cluster.apply(deployment("two", progressDeadlineSeconds=4))
        cluster.wait(lambda: progress(cluster) == "ProgressDeadlineExceeded")
        assert struck.hits
        # back to the former template: the same ReplicaSet again, as the newest revision
        cluster.apply(deployment("one"))
        cluster.wait(lambda: is_done(cluster) and len(cluster.pods("app=site")) == 2)
    assert set(heard) == {"one"}
    assert site(cluster)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert len(cluster.objects("ReplicaSet")) == 2


def test_a_crashing_container_is_restarted_with_back_off(cluster: Cluster) -> None:
    cluster.fault("crash", {"app": "site"}, new_template=True)
    cluster.apply(deployment())

    def statuses() -> list[Json]:
        return [s for pod in cluster.pods("app=site") for s in pod["status"].get("containerStatuses", [])]

    state = cluster.wait(lambda: [s for s in statuses() if s["restartCount"] > 1 and "waiting" in s["state"]])[0]
    assert state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert state["lastState"]["terminated"]["exitCode"] == 1


def test_a_pod_that_is_deleted_or_evicted_is_replaced_without_a_failed_request(
    cluster: Cluster, core: Any, serving: str
) -> None:
    first, second = (pod["metadata"]["name"] for pod in cluster.pods("app=site"))
    with load(serving) as heard:
        core.delete_namespaced_pod(first, "menagerie")
        cluster.wait(lambda: first not in {p["metadata"]["name"] for p in cluster.pods()} and is_done(cluster))
        cluster.wait(lambda: site(cluster)["status"].get("availableReplicas") == 2)
    assert set(heard) == {"one"}
    cluster.strike(second, "evict")
    [evicted] = cluster.wait(lambda: [p for p in cluster.pods() if p["status"].get("reason") == "Evicted"])
    assert (evicted["metadata"]["name"], evicted["status"]["phase"]) == (second, "Failed")
    cluster.wait(lambda: is_done(cluster) and len(cluster.pods()) == 3)


def test_history_is_kept_up_to_its_limit(cluster: Cluster, serving: str) -> None:
    for text in ("two", "three"):
        cluster.apply(deployment(text, revisionHistoryLimit=1))
        cluster.wait(lambda: is_done(cluster) and len(cluster.pods("app=site")) == 2)
    cluster.wait(lambda: len(cluster.objects("ReplicaSet")) == 2)


def test_deleting_a_deployment_deletes_what_it_owns(cluster: Cluster, apps: Any) -> None:
    cluster.apply(deployment(), service())
    cluster.wait(lambda: is_done(cluster))
    apps.delete_namespaced_deployment("site", "menagerie", propagation_policy="Foreground")
    assert site(cluster)["metadata"]["finalizers"] == ["foregroundDeletion"]
    cluster.wait(lambda: not cluster.objects("Deployment"))
    assert cluster.objects("ReplicaSet") == cluster.pods() == []
    with pytest.raises(OSError, match=r"closed|reset"):
        get(cluster.service_url("site"))


def test_what_may_not_change_is_refused(cluster: Cluster, serving: str) -> None:
    other = deployment("one")
    other["spec"]["selector"]["matchLabels"]["app"] = "other"
    other["spec"]["template"]["metadata"]["labels"]["app"] = "other"
    with pytest.raises(Refusal, match="field is immutable") as refused:
        cluster.apply(other)
    assert refused.value.status == 422


def test_pods_of_an_account_that_is_not_there_fail_visibly(cluster: Cluster, core: Any) -> None:
    wanted = deployment()
    wanted["spec"]["template"]["spec"]["serviceAccountName"] = "animals-website"
    cluster.apply(wanted)
    cluster.wait(lambda: "ReplicaFailure" in {c["type"] for c in site(cluster).get("status", {}).get("conditions", [])})
    told = [e.message for e in core.list_namespaced_event("menagerie").items if e.reason == "FailedCreate"]
    assert 'serviceaccount "animals-website" not found' in told[0]
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "animals-website"}})
    cluster.wait(lambda: is_done(cluster))


def test_an_autoscaler_keeps_replicas_within_its_bounds(cluster: Cluster, apps: Any) -> None:
    wanted = deployment()
    del wanted["spec"]["replicas"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "site"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3}
    meta = {"name": "site", "namespace": "menagerie"}
    autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}
    cluster.apply(autoscaler, wanted)
    cluster.wait(lambda: is_done(cluster))
    scale = apps.patch_namespaced_deployment_scale("site", "menagerie", {"spec": {"replicas": 5}})
    assert (scale.kind, scale.spec.replicas) == ("Scale", 5)
    cluster.wait(lambda: site(cluster)["status"].get("availableReplicas") == 3)
    cluster.apply(wanted)
    assert site(cluster)["spec"]["replicas"] == 3
    owners = [e for e in site(cluster)["metadata"]["managedFields"] if "f:replicas" in e["fieldsV1"]["f:spec"]]
    assert [(e["manager"], e.get("subresource")) for e in owners] == [("kube-controller-manager", "scale")]
