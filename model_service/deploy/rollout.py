"""How a rollout goes: read off the Deployment's status and its pods, and waited for with a live log."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from model_service.deploy.cluster import Cluster
from model_service.deploy.manifests import LABELS, TRACK
from model_service.deploy.revisions import HASH, Release, Revisions, observed, release, revisions
from model_service.errors import StepError

POLL = 1.0  # seconds between two looks
ALOUD = 15.0  # seconds after which the log repeats itself
PATIENCE = 15.0  # seconds that a trouble which may pass, such as an image that cannot be pulled, is given
_BROKEN = {
    "CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ErrImagePull",
    "ImagePullBackOff", "InvalidImageName", "RunContainerError",
}  # fmt: skip

Object = dict[str, Any]
log = logging.getLogger(__name__)


class Failed(StepError):
    """The rollout does not come to its end."""


class Superseded(StepError):
    """Another deployment, or a person, has put something else in this one's place: it is no longer ours to judge."""


@dataclass(frozen=True)
class Progress:
    """Where a rollout stands, in a line. `trouble` may pass, `failed` will not."""

    line: str
    done: bool = False
    trouble: str = ""
    failed: str = ""


def judge(deployment: Object, pods: list[Object]) -> Progress:
    """`pods`: those of the ReplicaSet that is rolled out. As `kubectl rollout status` judges, and quicker to give up."""
    if not observed(deployment):
        return Progress("the cluster has not taken note of the change yet")
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    updated, total, available = (status.get(k, 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
    line = f"{updated} of {wanted} pods are of this version, {available} of {total} available"
    if updated >= wanted and total <= updated and available >= updated:
        return Progress(line, done=True)
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    progressing, failure = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    troubles = [text for text in map(trouble, pods) if text]
    notes = troubles or [text for text in map(waiting, pods) if text]
    if failure.get("status") == "True":
        notes.append(f"{failure.get('reason')}: {failure.get('message')}")
    line = "; ".join([line, *notes[:2]])
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Progress(line, failed=f"no progress for too long: {line}")
    crashing = next((text for pod, text in zip(pods, map(trouble, pods), strict=True) if text and _crashes(pod)), "")
    return Progress(line, trouble=troubles[0] if troubles else "", failed=crashing)


def trouble(pod: Object) -> str:
    """Why a pod's container cannot start; empty when nothing is wrong with it."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        state = container.get("state", {}).get("waiting", {})
        if state.get("reason") in _BROKEN:
            ended = container.get("lastState", {}).get("terminated", {})
            why = f" (ended with {ended.get('reason')}, exit code {ended.get('exitCode')})" if ended else ""
            return f"pod {pod['metadata']['name']}: {state['reason']}: {state.get('message', '')}{why}"
    return ""


def waiting(pod: Object) -> str:
    """What a pod without a container waits for, such as a node."""
    conditions = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"pod {pod['metadata']['name']}: {scheduled.get('reason')}: {scheduled.get('message', '')}"
    return ""


def _crashes(pod: Object) -> bool:
    """Whether it has ended more than once: the first time may have been the moment's fault."""
    found = pod.get("status", {}).get("containerStatuses", [])
    return any(
        c.get("restartCount", 0) > 0 and c.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        for c in found
    )


def look(cluster: Cluster, name: str) -> Revisions:
    """The Deployment of that name and what it owns."""
    deployment = cluster.get("Deployment", name)
    return revisions(deployment, cluster.list("ReplicaSet", LABELS) if deployment else [])


def pods_of(cluster: Cluster, replicaset: Object | None) -> list[Object]:
    """Its pods, but those that are on their way out."""
    if replicaset is None:
        return []
    labels = replicaset["metadata"]["labels"]
    found = cluster.list("Pod", LABELS | {key: labels[key] for key in (TRACK, HASH)})
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def see(cluster: Cluster, name: str, ours: Release) -> Progress:
    """Raises Superseded when the Deployment is gone or serves something else."""
    there = look(cluster, name)
    if there.deployment is None or release(there.deployment) != ours:
        raise Superseded(f"another deployment has taken over {name} meanwhile: this one ends without touching it")
    return judge(there.deployment, pods_of(cluster, there.current))


def wait(cluster: Cluster, name: str, ours: Release, until: float) -> None:
    """Return when every pod is of this release and ready. Raises Failed, Superseded."""
    said, spoken, since = "", 0.0, time.monotonic()
    while True:
        progress = see(cluster, name, ours)
        now = time.monotonic()
        if progress.line != said or now - spoken >= ALOUD:
            log.info("%s: %s", name, progress.line)
            said, spoken = progress.line, now
        if progress.done:
            return
        since = since if progress.trouble else now
        if progress.failed or now - since > PATIENCE:
            raise Failed(progress.failed or progress.trouble)
        if now > until:
            raise Failed(f"the rollout of {name} did not end in time: {progress.line}")
        time.sleep(POLL)
