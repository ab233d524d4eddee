"""Why pods fail: their last events and log lines, gathered before they are gone."""

from __future__ import annotations

from typing import Any

from model_service.deploy.cluster import Cluster
from model_service.deploy.rollout import trouble
from model_service.errors import StepError

PODS, EVENTS, LINES = 2, 8, 20  # of each, the last ones

Object = dict[str, Any]


def evidence(cluster: Cluster, pods: list[Object]) -> str:
    """A paragraph a pod, those that are not ready first. Never raises StepError: what cannot be had is said so."""
    return "\n".join(_of(cluster, pod) for pod in sorted(pods, key=is_ready)[:PODS])


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_steady(pod: Object) -> bool:
    """Ready, and never restarted."""
    found = pod.get("status", {}).get("containerStatuses", [])
    return is_ready(pod) and not any(c.get("restartCount", 0) for c in found)


def _of(cluster: Cluster, pod: Object) -> str:
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    state = trouble(pod) or f"pod {name}: {pod.get('status', {}).get('phase')}, {'' if is_ready(pod) else 'not '}ready"
    try:
        events = cluster.list("Event", fields={"involvedObject.uid": uid})
        told = [f"  event {line}" for line in map(_event, sorted(events, key=_when)[-EVENTS:])]
    except StepError as error:
        told = [f"  (no events: {error})"]
    try:
        lines = [f"  log   {line}" for line in cluster.log(name, LINES).splitlines()]
    except StepError as error:
        lines = [f"  (no log: {error})"]
    return "\n".join([state, *told, *lines])


def _event(event: Object) -> str:
    times = f" (×{event['count']})" if event.get("count", 1) > 1 else ""
    return f"{event.get('reason', '')}: {event.get('message', '').strip()}{times}"


def _when(event: Object) -> str:
    """RFC 3339 in UTC, so that the text sorts as the time does."""
    when: str = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", "")
    return when
