"""One pod on the node, from its scheduling to its end."""

from __future__ import annotations

import asyncio

from tests.support.k8s import pod_status
from tests.support.k8s.errors import Json, Unfaithful
from tests.support.k8s.faults import DURING, Fault
from tests.support.k8s.lives import Life
from tests.support.k8s.node import NAME, Node, NotMounted
from tests.support.k8s.reports import ENDS, Gone, Report
from tests.support.k8s.store import Key, now

HANG = ["python", "-c", "import time; print('this container hangs, as ordered', flush=True); time.sleep(1e6)"]
CRASH = ["python", "-c", "raise SystemExit('this container crashes, as ordered')"]


class Pod:
    def __init__(self, node: Node, key: Key) -> None:
        pod = node.store.get(key)
        self.node, self.key = node, key
        self._uid = pod["metadata"]["uid"]
        self._orders: asyncio.Queue[str] = asyncio.Queue()
        self._deleted = False
        self._faults: dict[str, Fault] = node.faults.take(pod)
        self._container: Json = (pod["spec"]["containers"] or [{}])[0]
        self._report = Report(node.store, key, self._uid)

    def order(self, what: str) -> None:
        """`delete`, `gone`, `deadline`, `liveness`, or a fault of faults.DURING."""
        if what != "delete" or not self._deleted:
            self._deleted = self._deleted or what == "delete"
            self._orders.put_nowait(what)

    async def run(self) -> None:
        """Until the pod is gone."""
        deadline = None
        try:
            pod = self._report.pod()
            if len(pod["spec"]["containers"]) > 1 or pod["spec"].get("initContainers"):
                raise Unfaithful("the test kubelet runs pods of one container, without init containers")
            await self._schedule()
            if seconds := pod["spec"].get("activeDeadlineSeconds"):
                deadline = asyncio.get_running_loop().call_later(seconds, self.order, "deadline")
            await self._pull()
            while await self._live():
                pass
        except Gone:
            return
        finally:
            if deadline is not None:
                deadline.cancel()
            self.node.logs.drop(self._uid)

    async def _schedule(self) -> None:
        if fault := self._faults.get("unschedulable"):
            why = fault.message or "0/3 nodes are available: 3 Insufficient cpu."
            self._report.status(lambda s: pod_status.condition(s, "PodScheduled", False, "Unschedulable", why))
            self._report.event("Warning", "FailedScheduling", why, "default-scheduler")
            told = f"pod didn't trigger scale-up: {why}"
            self._report.event("Normal", "NotTriggerScaleUp", told, "cluster-autoscaler")
            await self._only_deletion()
        self._report.assign(NAME, next(self.node.addresses), now())
        where = f"{self.key[1]}/{self.key[2]}"
        self._report.event("Normal", "Scheduled", f"Successfully assigned {where} to {NAME}", "default-scheduler")

    async def _pull(self) -> None:
        image = self._container.get("image", "")
        self._report.event("Normal", "Pulling", f'Pulling image "{image}"')
        if fault := self._faults.get("image-pull"):
            usual = f"rpc error: code = NotFound desc = failed to pull and unpack image {image}: not found"
            why = fault.message or usual
            self._report.state(pod_status.waiting("ErrImagePull", why))
            self._report.event("Warning", "Failed", f'Failed to pull image "{image}": {why}')
            self._report.event("Warning", "Failed", "Error: ErrImagePull")
            await self._only_deletion(0.5)
            told = f'Back-off pulling image "{image}"'
            self._report.state(pod_status.waiting("ImagePullBackOff", f"{told}: ErrImagePull: {why}"))
            self._report.event("Normal", "BackOff", told)
            self._report.event("Warning", "Failed", "Error: ImagePullBackOff")
            await self._only_deletion()
        self._report.event("Normal", "Pulled", f'Successfully pulled image "{image}"')

    async def _only_deletion(self, seconds: float | None = None) -> None:
        """Nothing will come of this pod, or not before some seconds: until it is deleted or past its deadline."""
        while True:
            try:
                async with asyncio.timeout(seconds):
                    order = await self._orders.get()
            except TimeoutError:
                return
            if order == "deadline" and not self._report.ended():
                self._report.fail("deadline")
                seconds = None
            if order in ("delete", "gone", "vanish"):
                self._report.remove()
                raise Gone

    async def _live(self) -> bool:
        """One life of the container. Returns whether there is to be another."""
        words, environment = await self._mounted()
        self._forget_former_life()
        log = self.node.logs.open(self._uid, self._container["name"])
        if (fault := self._faults.get("cut-log")) and not self._report.restarts:
            log.cuts = [int(fault.after)]
        life = Life(self._container, log, self._report, self._orders, self._faults)
        started = now()
        try:
            await life.start(words, environment)
        except OSError as error:  # no such program
            return await self._ended(128, f"StartError: {error}", started, "exit")
        try:
            due = [f for f in self._faults.values() if f.kind in DURING and not f.at_line and not self._report.restarts]
            order = await life.run(started, due)
            code, reason = await life.obey(order)
        finally:
            await life.kill()
        return await self._ended(code, reason, started, order)

    async def _mounted(self) -> tuple[list[str], dict[str, str]]:
        """The command and its environment, once all volumes are there."""
        container = dict(self._container)
        for kind, words in (("hang", HANG), ("crash", CRASH)):
            if kind in self._faults:
                container |= {"command": words, "args": []}
        while True:
            try:
                return self.node.command(self._report.pod(), container)
            except NotMounted as error:
                self._report.event("Warning", "FailedMount", str(error))
            await self._only_deletion(0.5)

    def _forget_former_life(self) -> None:
        """What was ordered for a former life of the container is over with it."""
        for order in [self._orders.get_nowait() for _ in range(self._orders.qsize())]:
            if order in ("delete", "gone", "deadline"):
                self._orders.put_nowait(order)

    async def _ended(self, code: int, reason: str, started: str, order: str) -> bool:
        name, policy = self._container["name"], self._report.pod()["spec"]["restartPolicy"]
        ended = pod_status.terminated(code, reason, started, self._report.restarts, name)
        again = order in ("exit", "oom", "liveness") and (policy == "Always" or (policy == "OnFailure" and code != 0))
        if not again:
            self._report.state(ended)
            if order in ENDS:
                self._report.fail(order, self._faults[order].message if order in self._faults else "")
            else:
                self._report.phase("Succeeded" if code == 0 else "Failed", ready=False)
            if order == "delete":
                self._report.remove()
                return False
            await self._only_deletion()
        self._report.last = ended
        self._report.restarts += 1
        pause = min(self.node.backoff * 2 ** (self._report.restarts - 1), 10 * self.node.backoff)
        why = f"back-off {pause:g}s restarting failed container={name} pod={self.key[2]}_{self.key[1]}"
        self._report.state(pod_status.waiting("CrashLoopBackOff", why))
        self._report.ready("containers with unready status: [" + name + "]")
        self._report.event("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {self.key[2]}")
        await self._only_deletion(pause)
        return True
