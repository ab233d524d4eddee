"""What a Deployment's controller decides, as Kubernetes' own does; plain functions on the documents."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from datetime import UTC, datetime

from tests.support.k8s.errors import Json
from tests.support.k8s.faults import HASH
from tests.support.k8s.store import now

REVISION = "deployment.kubernetes.io/revision"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Json) -> str:
    digest = hashlib.sha256(json.dumps(bare(template), sort_keys=True).encode()).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest[:10])


def bare(template: Json) -> Json:
    """A pod template without the label that tells its ReplicaSet's pods from others."""
    template = copy.deepcopy(template)
    (template.setdefault("metadata", {}).get("labels") or {}).pop(HASH, None)
    return template


def revision(thing: Json) -> int:
    return int((thing["metadata"].get("annotations") or {}).get(REVISION, 0))


def bounds(deployment: Json) -> tuple[int, int]:
    """How many pods more, and how many fewer available ones, than wanted there may be during a rollout."""
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {"maxSurge": 0, "maxUnavailable": 0}
    desired = deployment["spec"]["replicas"]
    surge = _share(rolling["maxSurge"], desired, up=True)
    unavailable = _share(rolling["maxUnavailable"], desired, up=False)
    return surge, (1 if surge == unavailable == 0 else unavailable)


def plan(deployment: Json, new: Json, old: list[Json]) -> dict[str, int]:
    """The next number of replicas of each ReplicaSet that is to change."""
    desired, running = deployment["spec"]["replicas"], [one for one in old if one["spec"]["replicas"]]
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        if running or any(one.get("status", {}).get("replicas") for one in old):
            return {one["metadata"]["name"]: 0 for one in running}
        return _changed(new, desired)
    surge, unavailable = bounds(deployment)
    total = sum(one["spec"]["replicas"] for one in [new, *old])
    up = min(desired, new["spec"]["replicas"] + max(0, desired + surge - total))
    if changed := _changed(new, up):
        return changed
    least = desired - unavailable
    down = total - least - (new["spec"]["replicas"] - _available(new))
    if down <= 0 or not running:
        return {}
    left = {one["metadata"]["name"]: one["spec"]["replicas"] for one in running}
    for one in running:  # first the pods that are of no use
        name = one["metadata"]["name"]
        sick = min(down, left[name] - _available(one))
        left[name] -= max(0, sick)
        down -= max(0, sick)
    spare = min(down, sum(_available(one) for one in [new, *old]) - least)
    for one in running:
        name = one["metadata"]["name"]
        fewer = max(0, min(spare, left[name]))
        left[name] -= fewer
        spare -= fewer
    return {
        one["metadata"]["name"]: left[one["metadata"]["name"]]
        for one in running
        if _changed(one, left[one["metadata"]["name"]])
    }


def status(deployment: Json, new: Json, old: list[Json], *, created: bool) -> Json:
    """The Deployment's next status; `created` when its new ReplicaSet was made just now."""
    everyone, former = [new, *old], deployment.get("status") or {}
    counts = {
        "replicas": sum(one.get("status", {}).get("replicas", 0) for one in everyone),
        "updatedReplicas": new.get("status", {}).get("replicas", 0),
        "readyReplicas": sum(one.get("status", {}).get("readyReplicas", 0) for one in everyone),
        "availableReplicas": sum(_available(one) for one in everyone),
    }
    asked = sum(one["spec"]["replicas"] for one in everyone)
    counts["unavailableReplicas"] = max(0, asked - counts["availableReplicas"])
    conditions = {c["type"]: c for c in former.get("conditions") or []}
    desired, name = deployment["spec"]["replicas"], new["metadata"]["name"]
    enough = counts["availableReplicas"] >= desired - bounds(deployment)[1]
    word = "available" if enough else "unavailable"
    _condition(
        conditions,
        "Available",
        enough,
        f"MinimumReplicas{word.capitalize()}",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    if created:
        _condition(
            conditions, "Progressing", True, "NewReplicaSetCreated", f'Created new replica set "{name}"', fresh=True
        )
    _progress(conditions, deployment, counts, former, name)
    if failure := next(
        (c for c in new.get("status", {}).get("conditions") or [] if c["type"] == "ReplicaFailure"), None
    ):
        conditions["ReplicaFailure"] = failure
    else:
        conditions.pop("ReplicaFailure", None)
    # numbers that are zero are left out, as Kubernetes leaves them out
    shown = {key: value for key, value in counts.items() if value}
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        **shown,
        "conditions": list(conditions.values()),
    }


def _progress(conditions: dict[str, Json], deployment: Json, counts: dict[str, int], former: Json, name: str) -> None:
    def was(key: str) -> int:
        return int(former.get(key, 0))

    desired, current = deployment["spec"]["replicas"], conditions.get("Progressing")
    reason = current["reason"] if current else ""
    if counts["replicas"] == counts["updatedReplicas"] and reason == "NewReplicaSetAvailable":
        return
    if counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == desired:
        message = f'ReplicaSet "{name}" has successfully progressed.'
        _condition(conditions, "Progressing", True, "NewReplicaSetAvailable", message, fresh=True)
    elif (
        counts["updatedReplicas"] > was("updatedReplicas")
        or counts["replicas"] - counts["updatedReplicas"] < was("replicas") - was("updatedReplicas")
        or counts["readyReplicas"] > was("readyReplicas")
        or counts["availableReplicas"] > was("availableReplicas")
    ):
        message = f'ReplicaSet "{name}" is progressing.'
        _condition(conditions, "Progressing", True, "ReplicaSetUpdated", message, fresh=True)
    elif current and reason not in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        waited = datetime.now(UTC) - datetime.fromisoformat(current["lastUpdateTime"])
        if waited.total_seconds() > deployment["spec"]["progressDeadlineSeconds"]:
            message = f'ReplicaSet "{name}" has timed out progressing.'
            _condition(conditions, "Progressing", False, "ProgressDeadlineExceeded", message, fresh=True)


def _condition(
    conditions: dict[str, Json], kind: str, value: bool, reason: str, message: str, *, fresh: bool = False
) -> None:
    former, word = conditions.get(kind), "True" if value else "False"
    if former and not fresh and (former["status"], former["reason"]) == (word, reason):
        return
    since = former["lastTransitionTime"] if former and former["status"] == word else now()
    conditions[kind] = {
        "type": kind, "status": word, "reason": reason, "message": message,
        "lastUpdateTime": now(), "lastTransitionTime": since,
    }  # fmt: skip


def _changed(replica_set: Json, replicas: int) -> dict[str, int]:
    return {} if replica_set["spec"]["replicas"] == replicas else {replica_set["metadata"]["name"]: replicas}


def _available(replica_set: Json) -> int:
    return int(replica_set.get("status", {}).get("availableReplicas", 0))


def _share(value: int | str, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * of / 100
    return math.ceil(exact) if up else math.floor(exact)
