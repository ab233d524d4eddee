"""The scale subresource, and the one thing a HorizontalPodAutoscaler does here: it keeps replicas within its bounds."""

from __future__ import annotations

import copy

from tests.support.k8s import managed_fields
from tests.support.k8s.errors import Json, invalid
from tests.support.k8s.store import Store


def scale(thing: Json) -> Json:
    """The Scale of a Deployment or ReplicaSet."""
    meta = {k: thing["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    selector = ",".join(f"{k}={v}" for k, v in thing["spec"]["selector"].get("matchLabels", {}).items())
    status = {"replicas": thing.get("status", {}).get("replicas", 0), "selector": selector}
    spec = {"replicas": thing["spec"]["replicas"]}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def scaled(thing: Json, wanted: Json) -> Json:
    """The object with the replicas of a Scale. Raises a refusal (422)."""
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        raise invalid("Scale", thing["metadata"]["name"], "spec.replicas", "must be greater than or equal to 0")
    thing = copy.deepcopy(thing)
    thing["spec"]["replicas"] = replicas
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    thing["metadata"] |= {"resourceVersion": version} if version else {}
    return thing


def keep_bounds(store: Store) -> None:
    """Without metrics an autoscaler leaves replicas alone, except outside its bounds. It is off where they are 0."""
    for autoscaler in store.all("horizontalpodautoscalers"):
        spec, target = autoscaler["spec"], autoscaler["spec"]["scaleTargetRef"]
        key = ("deployments", autoscaler["metadata"]["namespace"], target["name"])
        deployment = store.find(key)
        if deployment is None or target["kind"] != "Deployment" or not deployment["spec"]["replicas"]:
            continue
        replicas = min(max(deployment["spec"]["replicas"], spec.get("minReplicas", 1)), spec["maxReplicas"])
        if replicas != deployment["spec"]["replicas"]:
            after = scaled(deployment, {"spec": {"replicas": replicas}})
            after["metadata"]["generation"] += 1
            store.replace(key, managed_fields.track(deployment, after, "kube-controller-manager", "scale"))
