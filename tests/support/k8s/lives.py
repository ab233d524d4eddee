"""One life of a container: its process, its probes, and what ends it."""

from __future__ import annotations

import asyncio
import signal

from tests.support.k8s import probes
from tests.support.k8s.errors import Json, Unfaithful
from tests.support.k8s.faults import Fault
from tests.support.k8s.logs import Log
from tests.support.k8s.processes import Process
from tests.support.k8s.reports import Gone, Report

AFTER_PRE_STOP = 2.0  # seconds left to the process when its preStop hook has used up the grace period


class Life:
    def __init__(
        self, container: Json, log: Log, report: Report, orders: asyncio.Queue[str], faults: dict[str, Fault]
    ) -> None:
        self._container, self._report, self._orders, self._faults = container, report, orders, faults
        self._lines = {fault.at_line.encode(): fault.kind for fault in faults.values() if fault.at_line}
        self._process = Process(log, self._on_line)

    async def start(self, words: list[str], environment: dict[str, str]) -> None:
        """Raises OSError when there is no such program."""
        try:
            await self._process.start(words, environment)
        except OSError:
            self._process.log.end()
            raise

    async def run(self, started: str, due: list[Fault]) -> str:
        """Until the process ends (`exit`) or something is ordered, which is returned."""
        probed = {"readinessProbe", "startupProbe"} & self._container.keys()
        self._report.state({"running": {"startedAt": started}}, started=not probed)
        self._report.phase("Running", ready=not probed)
        self._report.event("Normal", "Started", f"Started container {self._container['name']}")
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(fault.after, self._orders.put_nowait, fault.kind) for fault in due]
        probing = asyncio.create_task(self._probe(self._report.pod()["status"]["podIP"]))
        asking = asyncio.create_task(self._orders.get())
        assert self._process.ended is not None
        try:
            await asyncio.wait([self._process.ended, asking, probing], return_when=asyncio.FIRST_COMPLETED)
            if probing.done():
                probing.result()  # a failure of the prober itself is not to be overlooked
                await asyncio.wait([self._process.ended, asking], return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else "exit"
        finally:
            for timer in timers:
                timer.cancel()
            for task in (asking, probing):
                task.cancel()
            await asyncio.gather(asking, probing, return_exceptions=True)

    async def obey(self, order: str) -> tuple[int, str]:
        """End the process as ordered. Returns its exit code and, where it has one of its own, the reason."""
        if order in ("gone", "vanish"):
            await self.kill()
            self._report.remove()
            raise Gone
        if order in ("exit", "oom", "evict"):
            return await self.kill(), "OOMKilled" if order == "oom" else ""
        pod = self._report.pod()
        grace = pod["metadata"].get("deletionGracePeriodSeconds", pod["spec"]["terminationGracePeriodSeconds"])
        self._report.event("Normal", "Killing", f"Stopping container {self._container['name']}")
        return await self._process.stop(await self._pre_stop(grace)), ""

    async def kill(self) -> int:
        """Its exit code."""
        self._process.signal(signal.SIGKILL)
        assert self._process.ended is not None
        return await self._process.ended

    async def _pre_stop(self, grace: float) -> float:
        """Run the preStop hook. Returns the seconds of grace that are left after it."""
        hook = (self._container.get("lifecycle") or {}).get("preStop")
        if not hook:
            return grace
        if "sleep" not in hook:
            raise Unfaithful(f"the test kubelet knows no preStop hook but sleep: {hook}")
        pause: float = min(grace, hook["sleep"]["seconds"])
        assert self._process.ended is not None
        await asyncio.wait([self._process.ended], timeout=pause)
        return max(grace - pause, AFTER_PRE_STOP)

    def _on_line(self, line: bytes) -> None:
        for text, kind in self._lines.items():
            if text in line:
                self._orders.put_nowait(kind)

    async def _probe(self, address: str) -> None:
        container = self._container
        if wrong := await probes.startup(container.get("startupProbe"), container, address):
            self._report.event("Warning", "Unhealthy", f"Startup probe failed: {wrong}")
            self._orders.put_nowait("liveness")
            return
        self._report.status(lambda status: status["containerStatuses"][0].update(started=True))

        def is_ready(wrong: str) -> None:
            if "unready" in self._faults:
                wrong = self._faults["unready"].message or "HTTP probe failed with statuscode: 503"
            if wrong:
                self._report.event("Warning", "Unhealthy", f"Readiness probe failed: {wrong}")
            self._report.ready(wrong)

        def is_alive(wrong: str) -> None:
            if wrong:
                self._report.event("Warning", "Unhealthy", f"Liveness probe failed: {wrong}")
                self._orders.put_nowait("liveness")

        async with asyncio.TaskGroup() as group:
            if "readinessProbe" in container:
                group.create_task(probes.follow(container["readinessProbe"], container, address, is_ready))
            else:
                is_ready("")
            if "livenessProbe" in container:
                group.create_task(probes.follow(container["livenessProbe"], container, address, is_alive))
