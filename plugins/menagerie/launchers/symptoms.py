"""What is wrong with a pod, in words, from what the cluster says of it. Pure functions of the pod and its events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.providers.cncf.kubernetes.utils.pod_manager import detect_pod_terminate_early_issues
from kubernetes.client import models as k8s

STARTUP = 1200  # seconds a pod may wait for a node, and then again for its container: a new node takes minutes
PATIENCE = 300  # seconds in which a cluster's autoscaler says that it makes a node for a pod

# States of a waiting container that waiting does not cure. (Those of its image are Airflow's to know.)
_BROKEN = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
# Why a node cannot take a pod, in the scheduler's words, when more nodes of the same kinds could not either …
_NEVER = re.compile(r"didn't match Pod's node (affinity|selector)|had untolerated taint|volume node affinity conflict")
# … but for taints that come and go with a node's health or its removal.
_PASSING = re.compile(r"node\.kubernetes\.io/|ToBeDeleted|DeletionCandidate|node\.cloudprovider\.kubernetes\.io/")


def stuck(pod: k8s.V1Pod, events: Sequence[k8s.CoreV1Event], now: datetime) -> str | None:
    """Why a pod that has not started never will, or took too long; None: it has started, or waiting is right.

    A pod that no node has room for waits for the autoscaler, up to STARTUP. It is given up earlier, after PATIENCE, only
    when every node refuses it for what it asks (a selector, an affinity, a taint) and the autoscaler makes no node for it.
    """
    if pod.status.phase != "Pending":
        return None
    if issue := detect_pod_terminate_early_issues(pod):  # but not when the registry asks for patience
        return issue.replace("\n", " ").strip()
    for status in pod.status.container_statuses or []:
        waiting = status.state and status.state.waiting
        if waiting and waiting.reason in _BROKEN:
            return f"its container cannot start: {_said(waiting.reason, waiting.message)}"
    scheduled = next((one for one in pod.status.conditions or [] if one.type == "PodScheduled"), None)
    if scheduled is not None and scheduled.status == "True":
        since = scheduled.last_transition_time or pod.metadata.creation_timestamp
        if _age(since, now) > STARTUP:
            return f"its container did not start within {STARTUP // 60} minutes after it got a node"
        return None
    age = _age(pod.metadata.creation_timestamp, now)
    message = (scheduled.message or "") if scheduled else ""
    if age > STARTUP:
        return f"it got no node within {STARTUP // 60} minutes: {message or 'the scheduler said nothing'}"
    makes_node = any(event.reason == "TriggeredScaleUp" for event in events)
    if age > PATIENCE and not makes_node and refused_by_all(message):
        return f"no node can take it, and the cluster makes none that could: {message}"
    return None


def refused_by_all(message: str) -> bool:
    """Whether the scheduler says of every node that it can never take the pod: `0/3 nodes are available: 3 node(s) …`."""
    _, _, rest = message.partition("nodes are available: ")
    reasons = re.split(r", (?=\d+ )", rest.partition(" preemption:")[0]) if rest else []
    return bool(reasons) and all(_NEVER.search(one) and not _PASSING.search(one) for one in reasons)


def ended(pod: k8s.V1Pod | None, deadline: int) -> tuple[str, str]:
    """Why a pod ended without a good result, and what kind of remedy helps: memory, storage, deadline or none (empty)."""
    if pod is None:
        return "lost its pod: it was deleted, or its node was. A retry starts a new one", ""
    status = pod.status
    note = f": {status.message}" if status.message else ""
    if status.reason == "DeadlineExceeded":
        return f"ran longer than its {deadline} seconds", "deadline"
    if status.reason == "Evicted":
        kind = "storage" if re.search(r"ephemeral|emptyDir|disk", status.message or "", re.I) else "memory"
        return f"was evicted from its node{note}", kind
    disrupted = next((one for one in status.conditions or [] if one.type == "DisruptionTarget"), None)
    if disrupted is not None and disrupted.status == "True":
        return f"was taken off its node ({_said(disrupted.reason, disrupted.message)}). A retry starts a new pod", ""
    finished = terminated(pod)
    if status.reason in ("Terminated", "Shutdown", "NodeShutdown", "NodeLost", "Preempting", "NodeAffinity"):
        return f"lost its node ({_said(status.reason, status.message)}). A retry starts a new pod", ""
    if finished is None:
        return f"ended before its container started ({_said(status.reason or status.phase, status.message)})", ""
    if finished.reason == "OOMKilled":
        return f"ran out of memory (OOMKilled, exit code {finished.exit_code})", "memory"
    if finished.exit_code == 137:
        return "was killed (exit code 137: SIGKILL, most often for lack of memory)", "memory"
    if finished.exit_code == 143:
        return "was stopped (exit code 143: SIGTERM). A retry starts a new pod", ""
    return f"ended with code {finished.exit_code} and without a result", ""


def terminated(pod: k8s.V1Pod) -> k8s.V1ContainerStateTerminated | None:
    """How the step's container ended; None: it has not, or never began."""
    for status in pod.status.container_statuses or []:
        if status.state and status.state.terminated:
            return status.state.terminated
    return None


def is_over(pod: k8s.V1Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def warnings(events: Sequence[k8s.CoreV1Event], most: int = 5) -> list[str]:
    """The latest of the pod's events that tell of trouble, oldest first."""
    telling = [one for one in events if one.type == "Warning" or one.reason == "NotTriggerScaleUp"]
    telling.sort(key=_when)
    return [f"{one.reason}: {one.message}" for one in telling[-most:]]


def _when(event: k8s.CoreV1Event) -> datetime:
    found: datetime | None = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return found or datetime.min.replace(tzinfo=UTC)


def _age(since: Any, now: datetime) -> float:
    return float((now - since).total_seconds()) if since else 0.0


def _said(reason: str | None, message: str | None) -> str:
    return f"{reason or 'no reason given'}: {message}" if message else f"{reason or 'no reason given'}"
