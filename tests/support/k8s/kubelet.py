"""The kubelet: runs every pod's container as a process of this machine and reports how it is.

It and the other controllers write to the store directly: what they do goes on while the API server is down.
"""

from __future__ import annotations

import asyncio

from tests.support.k8s import garbage
from tests.support.k8s.node import Node
from tests.support.k8s.pods import Pod
from tests.support.k8s.store import Key


class Kubelet:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.failures: list[BaseException] = []  # of the kubelet itself: a test that ends with one has proved nothing
        self._pods: dict[str, Pod] = {}  # by uid, those that the API knows
        self._tasks: set[asyncio.Task[None]] = set()  # also of pods that the API has forgotten, which are ending

    async def run(self) -> None:
        """Until cancelled: start what is new, stop what is deleted."""
        store = self.node.store
        with store.watching() as news:
            while True:
                news.clear()
                present = {pod["metadata"]["uid"]: pod for pod in store.all("pods")}
                for uid, found in present.items():
                    if uid not in self._pods:
                        self._start(uid, ("pods", found["metadata"]["namespace"], found["metadata"]["name"]))
                    if found["metadata"].get("deletionTimestamp"):
                        self._pods[uid].order("delete")
                for uid in set(self._pods) - set(present):
                    self._pods.pop(uid).order("gone")
                await news.wait()

    def strike(self, name: str, kind: str) -> None:
        """Let a fault of faults.DURING befall a running pod now. Raises KeyError when there is none of that name."""
        pods = {pod.key[2]: pod for pod in self._pods.values()}
        pods[name].order(kind)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*list(self._tasks), return_exceptions=True)

    def _start(self, uid: str, key: Key) -> None:
        pod = self._pods[uid] = Pod(self.node, key)
        task = asyncio.create_task(self._run(pod))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, pod: Pod) -> None:
        try:
            await pod.run()
        except Exception as error:
            self.failures.append(error)
            if self.node.store.find(pod.key) is not None:
                garbage.remove(self.node.store, pod.key)
