"""The controller of ReplicaSets: keeps as many pods of a template as are asked for."""

from __future__ import annotations

import copy
import time
from datetime import UTC, datetime

from tests.support.k8s import events, garbage
from tests.support.k8s.errors import Json, Refusal
from tests.support.k8s.store import Key, Store, now
from tests.support.k8s.verbs import Asked, Resource, Verbs

PODS = Resource("v1", "pods", "Pod", True, frozenset({"status", "log"}))


class ReplicaSets:
    def __init__(self, store: Store, verbs: Verbs) -> None:
        self._store, self._verbs = store, verbs
        self._patience: dict[str, tuple[float, str]] = {}  # by uid: when to try again what was refused, and the refusal

    def reconcile(self, replica_set: Json) -> None:
        if replica_set["metadata"].get("deletionTimestamp"):
            return
        pods = active(self._store, replica_set)
        missing = replica_set["spec"]["replicas"] - len(pods)
        uid = replica_set["metadata"]["uid"]
        later, failure = self._patience.get(uid, (0.0, ""))
        for _ in range(missing if later <= time.monotonic() else 0):
            try:
                self._create(replica_set)
                failure = ""
            except Refusal as error:
                failure = f"{error.message}"
                self._patience[uid] = (time.monotonic() + 1.0, failure)
                events.record(
                    self._store,
                    replica_set,
                    "Warning",
                    "FailedCreate",
                    f"Error creating: {failure}",
                    "replicaset-controller",
                )
                break
        for pod in sorted(pods, key=lambda p: (is_ready(p), -int(p["metadata"]["resourceVersion"])))[
            : max(0, -missing)
        ]:
            garbage.delete(self._store, _pod(pod))
            message = f"Deleted pod: {pod['metadata']['name']}"
            events.record(self._store, replica_set, "Normal", "SuccessfulDelete", message, "replicaset-controller")
        self._report(replica_set, failure if missing > 0 else "")

    def _create(self, replica_set: Json) -> None:
        meta = replica_set["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": meta["name"], "uid": meta["uid"]}
        template = copy.deepcopy(replica_set["spec"]["template"])
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        pod["metadata"] = {
            **(template.get("metadata") or {}),
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        }
        asked = Asked(PODS, ("pods", meta["namespace"], ""), manager="kube-controller-manager")
        made = self._verbs.create(asked, pod)
        message = f"Created pod: {made['metadata']['name']}"
        events.record(self._store, replica_set, "Normal", "SuccessfulCreate", message, "replicaset-controller")

    def _report(self, replica_set: Json, failure: str) -> None:
        pods = active(self._store, replica_set)
        patience = replica_set["spec"].get("minReadySeconds", 0)
        counts = {
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": sum(_ready_for(pod) >= patience for pod in pods if is_ready(pod)),
        }
        status = {
            "replicas": len(pods),
            "observedGeneration": replica_set["metadata"]["generation"],
            **{key: value for key, value in counts.items() if value},
        }
        if failure:
            former = (replica_set.get("status") or {}).get("conditions") or [{"lastTransitionTime": now()}]
            status["conditions"] = [
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}
                | {"lastTransitionTime": former[0]["lastTransitionTime"]}
            ]
        key = ("replicasets", replica_set["metadata"]["namespace"], replica_set["metadata"]["name"])
        self._store.edit(key, lambda one: one.update(status=status))


def active(store: Store, replica_set: Json) -> list[Json]:
    """Its pods that are neither at their end nor being deleted."""
    uid = replica_set["metadata"]["uid"]
    return [
        pod
        for pod in store.all("pods", replica_set["metadata"]["namespace"])
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or [])
        and not pod["metadata"].get("deletionTimestamp")
        and pod["status"]["phase"] not in ("Succeeded", "Failed")
    ]


def is_ready(pod: Json) -> bool:
    return _condition(pod).get("status") == "True"


def _ready_for(pod: Json) -> float:
    """Seconds."""
    return (datetime.now(UTC) - datetime.fromisoformat(_condition(pod)["lastTransitionTime"])).total_seconds()


def _condition(pod: Json) -> Json:
    conditions = pod.get("status", {}).get("conditions") or []
    found: Json = next((c for c in conditions if c["type"] == "Ready"), {})
    return found


def _pod(pod: Json) -> Key:
    return ("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
