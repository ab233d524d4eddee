"""What the API server adds to objects, and what it forbids to change, as the API reference documents it."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.support.k8s import selectors
from tests.support.k8s.errors import Json, invalid

# Kinds whose metadata.generation counts the changes of their spec
COUNTED = {"Deployment", "ReplicaSet", "PodDisruptionBudget", "NetworkPolicy", "Ingress", "Gateway", "HTTPRoute", "Pod"}


def complete(thing: Json) -> Json:
    """The object with its defaults."""
    thing = copy.deepcopy(thing)
    spec = thing.get("spec")
    kind = thing["kind"]
    if kind == "Pod" and isinstance(spec, dict):
        _pod(spec)
        _fill(spec, serviceAccountName="default", enableServiceLinks=True)
        _fill(spec, serviceAccount=spec["serviceAccountName"])
    elif kind in ("Deployment", "ReplicaSet") and isinstance(spec, dict):
        _fill(spec, replicas=1)
        _pod(spec["template"].setdefault("spec", {}))
        if kind == "Deployment":
            _fill(spec, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
            _fill(spec["strategy"], type="RollingUpdate")
            if spec["strategy"]["type"] == "RollingUpdate":
                _fill(spec["strategy"], rollingUpdate={})
                _fill(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    elif kind == "Service" and isinstance(spec, dict):
        _fill(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
        for port in spec.get("ports") or []:
            _fill(port, protocol="TCP", targetPort=port["port"])
    return thing


def forbid(before: Json | None, after: Json) -> None:
    """Raise a refusal (422) when the object is inconsistent, or changes what may not change."""
    kind, name = after["kind"], after["metadata"]["name"]
    spec = after.get("spec") or {}
    if kind in ("Deployment", "ReplicaSet"):
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if not selectors.matches(spec["selector"], labels):
            why = f"Invalid value: {json.dumps(labels)}: `selector` does not match template `labels`"
            raise invalid(kind, name, "spec.template.metadata.labels", why)
        rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
        if str(rolling.get("maxUnavailable", 1)) in ("0", "0%") and str(rolling.get("maxSurge", 1)) in ("0", "0%"):
            why = "Invalid value: 0: may not be 0 when `maxSurge` is 0"
            raise invalid(kind, name, "spec.strategy.rollingUpdate.maxUnavailable", why)
        if spec["template"]["spec"]["restartPolicy"] != "Always":
            why = 'Unsupported value: supported values: "Always"'
            raise invalid(kind, name, "spec.template.spec.restartPolicy", why)
    if kind == "RoleBinding" and any(
        one["kind"] == "ServiceAccount" and not one.get("namespace") for one in after.get("subjects") or []
    ):
        raise invalid(kind, name, "subjects[0].namespace", "Required value")
    if kind == "Pod" and not spec.get("containers"):
        raise invalid(kind, name, "spec.containers", "Required value")
    if before is not None:
        _immutable(before, after, kind, name)


def _immutable(before: Json, after: Json, kind: str, name: str) -> None:
    old, new = before.get("spec") or {}, after.get("spec") or {}
    if kind in ("Deployment", "ReplicaSet") and old["selector"] != new["selector"]:
        raise invalid(kind, name, "spec.selector", "Invalid value: field is immutable")
    if kind in ("ConfigMap", "Secret") and before.get("immutable"):
        for field in ("data", "binaryData", "stringData", "immutable"):
            if before.get(field) != after.get(field):
                raise invalid(kind, name, field, "Forbidden: field is immutable when `immutable` is set")
    if kind == "Service" and old.get("clusterIP") and old["clusterIP"] != new.get("clusterIP"):
        raise invalid(kind, name, "spec.clusterIPs[0]", "Invalid value: may not change once set")
    if kind in ("RoleBinding", "ClusterRoleBinding") and before["roleRef"] != after["roleRef"]:
        raise invalid(kind, name, "roleRef", "Invalid value: cannot change roleRef")
    if kind == "Pod" and _fixed(old) != _fixed(new):
        fields = "`spec.containers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions)"
        raise invalid(kind, name, "spec", f"Forbidden: pod updates may not change fields other than {fields}")


def _fixed(spec: Json) -> Json:
    rest = {k: v for k, v in spec.items() if k not in ("activeDeadlineSeconds", "tolerations", "nodeName")}
    return rest | {"containers": [{k: v for k, v in c.items() if k != "image"} for c in spec.get("containers", [])]}


def _pod(spec: Json) -> None:
    _fill(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst", securityContext={})
    _fill(spec, schedulerName="default-scheduler")
    for volume in spec.get("volumes") or []:
        for source in ("configMap", "secret"):
            if source in volume:
                _fill(volume[source], defaultMode=420)
    for container in spec.get("containers") or []:
        image = container.get("image", "")
        latest = "@" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest"))
        _fill(container, imagePullPolicy="Always" if latest else "IfNotPresent", resources={})
        _fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
        for port in container.get("ports") or []:
            _fill(port, protocol="TCP")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe in container:
                _fill(container[probe], periodSeconds=10, timeoutSeconds=1, successThreshold=1, failureThreshold=3)
                if "httpGet" in container[probe]:
                    _fill(container[probe]["httpGet"], path="/", scheme="HTTP")


def _fill(thing: Json, **values: Any) -> None:
    for key, value in values.items():
        if thing.get(key) is None:
            thing[key] = value
