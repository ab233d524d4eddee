"""What the kubelet tells of one pod: its status and its events."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.k8s import events, garbage, pod_status
from tests.support.k8s.errors import Json
from tests.support.k8s.store import Key, Store

# Ends of a pod that are not its container's own doing: reason and message
ENDS = {
    "deadline": ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
    "evict": ("Evicted", "The node was low on resource: ephemeral-storage. "),
    "preempt": ("Terminated", "Pod was terminated in response to imminent node shutdown."),
}


class Gone(Exception):
    """The pod is no longer there: nobody is to be told anything."""


class Report:
    """On the pod of this uid only, not on another of its name."""

    def __init__(self, store: Store, key: Key, uid: str) -> None:
        self._store, self._key, self._uid = store, key, uid
        self._container: Json = self.pod()["spec"]["containers"][0]
        self.restarts = 0
        self.last: Json | None = None  # how the container's former life ended

    def pod(self) -> Json:
        """Raises Gone."""
        if not self._there():
            raise Gone
        return self._store.get(self._key)

    def status(self, change: Callable[[Json], None]) -> None:
        if self._there():
            self._store.edit(self._key, lambda pod: change(pod["status"]))

    def event(self, kind: str, reason: str, message: str, component: str = "kubelet") -> None:
        if self._there():
            events.record(self._store, self.pod(), kind, reason, message, component)

    def assign(self, node: str, address: str, started: str) -> None:
        self._store.edit(self._key, lambda pod: pod["spec"].update(nodeName=node))

        def bound(status: Json) -> None:
            pod_status.condition(status, "PodScheduled", True)
            pod_status.condition(status, "Initialized", True)
            status |= {"hostIP": "127.0.0.1", "podIP": address, "podIPs": [{"ip": address}], "startTime": started}

        self.status(bound)
        self.state(pod_status.waiting("ContainerCreating"))

    def state(self, state: Json, *, started: bool = False) -> None:
        new = pod_status.container(self._container, state, self.restarts, self.last, started=started)
        self.status(lambda status: status.update(containerStatuses=[new]))

    def ready(self, wrong: str = "") -> None:
        self.status(lambda status: pod_status.ready(status, not wrong, message=wrong))

    def phase(self, phase: str, *, ready: bool) -> None:
        def change(status: Json) -> None:
            status["phase"] = phase
            pod_status.ready(status, ready, "ContainersNotReady" if phase == "Running" else f"Pod{phase}")

        self.status(change)

    def fail(self, end: str, message: str = "") -> None:
        """The pod has failed, by one of ENDS."""
        reason, usual = ENDS[end]
        self.event("Warning", reason, message or usual)

        def failed(status: Json) -> None:
            status |= {"phase": "Failed", "reason": reason, "message": message or usual}
            pod_status.ready(status, False, "PodFailed")
            if end != "deadline":
                pod_status.condition(status, "DisruptionTarget", True, "TerminationByKubelet", message or usual)

        self.status(failed)

    def ended(self) -> bool:
        return self.pod()["status"]["phase"] in ("Succeeded", "Failed")

    def remove(self) -> None:
        if self._there():
            garbage.remove(self._store, self._key)

    def _there(self) -> bool:
        pod = self._store.find(self._key)
        return pod is not None and pod["metadata"]["uid"] == self._uid
