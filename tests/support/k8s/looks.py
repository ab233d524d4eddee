"""What tests of the cluster itself look at through the official client: pods, their logs and events."""

from __future__ import annotations

from typing import Any

from kubernetes.client import ApiException

from tests.support.k8s.cluster import Cluster
from tests.support.k8s.errors import Json

COUNT = "import time\nfor n in range(5): print('line', n); time.sleep(0.1)"
SLEEP = "import time; print('asleep'); time.sleep(1000)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(1000)"


def create(core: Any, body: Json) -> str:
    return str(core.create_namespaced_pod("menagerie", body).metadata.name)


def read(core: Any, name: str, **how: Any) -> str:
    answer = core.read_namespaced_pod_log(name, "menagerie", _preload_content=False, **how)
    return str(answer.data.decode())  # the client's own decoding gives "b'…'"


def await_phase(core: Any, cluster: Cluster, name: str, *phases: str) -> Any:
    """The pod, once it is there."""

    def look() -> Any:
        found = core.read_namespaced_pod(name, "menagerie")
        return found if found.status.phase in phases else None

    return cluster.wait(look)


def terminated(found: Any) -> Any:
    return found.status.container_statuses[0].state.terminated


def told(core: Any, name: str) -> dict[str, str]:
    """The events of a pod: messages by reason."""
    events = core.list_namespaced_event("menagerie", field_selector=f"involvedObject.name={name}").items
    return {event.reason: event.message for event in events}


def log(core: Any, name: str) -> str:
    try:
        return read(core, name)
    except ApiException:  # not yet started
        return ""
