"""The status of a pod, as the kubelet reports it: plain functions on the status document."""

from __future__ import annotations

from tests.support.k8s.errors import Json
from tests.support.k8s.store import now


def condition(status: Json, kind: str, value: bool, reason: str = "", message: str = "") -> None:
    """Set a condition; its transition time changes with its value only."""
    conditions = status.setdefault("conditions", [])
    former = next((c for c in conditions if c["type"] == kind), None)
    word = "True" if value else "False"
    since = former["lastTransitionTime"] if former and former["status"] == word else now()
    new: Json = {"type": kind, "status": word, "lastTransitionTime": since, "lastProbeTime": None}
    new |= {"reason": reason} if reason else {}
    new |= {"message": message} if message else {}
    status["conditions"] = [new if c is former else c for c in conditions] + ([] if former else [new])


def ready(status: Json, value: bool, reason: str = "ContainersNotReady", message: str = "") -> None:
    for kind in ("ContainersReady", "Ready"):
        condition(status, kind, value, "" if value else reason, "" if value else message)
    for container in status.get("containerStatuses") or []:
        container["ready"] = value


def container(spec: Json, state: Json, restarts: int, last: Json | None, *, started: bool = False) -> Json:
    status = {
        "name": spec["name"],
        "image": spec.get("image", ""),
        "imageID": spec.get("image", "") if "waiting" not in state or restarts else "",
        "ready": False,
        "started": started,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }
    if "waiting" not in state:
        status["containerID"] = f"containerd://{spec['name']}-{restarts}"
    return status


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(code: int, reason: str, started: str, restarts: int, name: str) -> Json:
    word = reason or ("Completed" if code == 0 else "Error")
    state = {"exitCode": code, "reason": word, "startedAt": started, "finishedAt": now()}
    return {"terminated": state | {"containerID": f"containerd://{name}-{restarts}"}}
