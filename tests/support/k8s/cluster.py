"""The cluster a test talks to: see the package's docstring."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import kmock
import yaml

from tests.support.k8s import certificates, kubeconfig, resources, selectors
from tests.support.k8s.access import Access
from tests.support.k8s.api import ApiServer
from tests.support.k8s.deployments import Deployments
from tests.support.k8s.errors import Json, refusal
from tests.support.k8s.faults import HASH, Fault, Faults
from tests.support.k8s.kubelet import Kubelet
from tests.support.k8s.logs import Logs
from tests.support.k8s.node import Node
from tests.support.k8s.services import Services
from tests.support.k8s.store import Store
from tests.support.k8s.verbs import APPLY, Asked

T = TypeVar("T")


class Cluster:
    def __init__(
        self,
        root: Path,
        *,
        tls: bool = False,
        token: str = "token-of-the-administrator",
        namespaces: tuple[str, ...] = ("menagerie",),
        backoff: float = 1.0,
    ) -> None:
        self.root = root / "cluster"
        self.root.mkdir(parents=True)
        self.token = token
        context, self.ca = certificates.make(self.root) if tls else (None, b"")
        self._store = Store()
        self._faults, logs, self._services = Faults(), Logs(), Services(self._store)
        access = Access(self._store, token)
        self.api = ApiServer(self._store, access, logs, context)
        self._node = Node(
            self._store, logs, self._faults, access, self.root, self._kubeconfig, self._services.url, backoff
        )
        self._kubelet = Kubelet(self._node)
        self._deployments = Deployments(self._store, self.api.verbs)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True)
        self._controllers: list[asyncio.Task[None]] = []
        for space in ("default", *namespaces):
            self._seed("Namespace", "namespaces", "", space)
            self._seed("ServiceAccount", "serviceaccounts", space, "default")

    def __enter__(self) -> Cluster:
        self._thread.start()
        self._run(self._start())
        self.kubeconfig.write_text(self._kubeconfig(self.token, "default"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._kubelet.failures:
            raise BaseExceptionGroup("the test kubelet failed", self._kubelet.failures)

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.api.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.root / "kubeconfig"

    @property
    def requests(self) -> list[kmock.Request]:
        """Everything that was asked so far: .method, .url, .params, .headers, .data."""
        return list(self.api)

    def asked(self, method: str, part: str) -> list[kmock.Request]:
        """The requests of a method whose path ends with `part`."""
        return [r for r in self.requests if r.method.value == method and r.url.path.endswith(part)]

    def pods(self, selector: str = "", namespace: str = "menagerie") -> list[Json]:
        """The pods whose labels match, the oldest first."""
        test = selectors.labels(selector)
        found = [pod for pod in self.objects("pods", namespace) if test(pod)]
        return sorted(found, key=lambda pod: int(pod["metadata"]["resourceVersion"]))

    def objects(self, kind: str, namespace: str = "menagerie") -> list[Json]:
        """The objects of a kind: `Deployment` or `deployments`."""
        plural = resources.by_kind(self.api.resources, kind).plural
        return self._do(lambda: copy.deepcopy(self._store.all(plural, namespace)))

    def log(self, pod: str, namespace: str = "menagerie") -> str:
        """All that a pod's container has written in its present life."""

        def read() -> str:
            found = self._store.get(("pods", namespace, pod))
            log = self._node.logs.find(found["metadata"]["uid"], found["spec"]["containers"][0]["name"])
            return "".join(f"{line.data.decode(errors='replace')}\n" for line in (log.lines if log else []))

        return self._do(read)

    def apply(self, *documents: Json | Path | str) -> list[Json]:
        """Apply objects, or YAML files or texts of them, as the administrator does."""
        found = [one for document in documents for one in _load(document)]
        return self._do(lambda: [self._apply(one) for one in found])

    def fault(self, kind: str, labels: dict[str, str] | None = None, **how: Any) -> Fault:
        """Order a misfortune: see faults.Fault."""

        def order() -> Fault:
            known = {(t["metadata"].get("labels") or {}).get(HASH, "") for t in self._store.all("replicasets")}
            return self._faults.order(Fault(kind, labels or {}, known=frozenset(known), **how))

        return self._do(order)

    def strike(self, pod: str, kind: str) -> None:
        """Let `oom`, `evict`, `preempt` or `vanish` befall a running pod now."""
        self._do(lambda: self._kubelet.strike(pod, kind))

    def refuse(self, method: str, part: str, status: int, reason: str, times: int = 1) -> None:
        """Let the API server answer the next requests whose path contains `part` with an error."""
        answer = refusal(status, reason, "refused, as ordered by the test")
        self._do(lambda: self.api.refusals.extend([(method, part, answer)] * times))

    def compact(self) -> None:
        """Let the API server forget its history: watches from before get 410 Gone."""
        self._do(self._store.compact)

    def account_token(self, name: str, namespace: str = "menagerie") -> str:
        """The token that pods of a service account have."""
        return self._do(lambda: self._node.access.token(namespace, name))

    def restart_api(self, seconds_down: float = 1.0) -> None:
        """Take the API server away for some seconds; pods and controllers go on, the state stays."""
        self.stop_api()
        time.sleep(seconds_down)
        self.start_api()

    def stop_api(self) -> None:
        self._run(self.api.stop())

    def start_api(self) -> None:
        self._run(self.api.start())

    def service_url(self, name: str, namespace: str = "menagerie") -> str:
        """Where a Service answers this test: the same address always, also before the Service exists."""
        return self._do(lambda: self._services.url(namespace, name))

    def wait(self, condition: Callable[[], T], seconds: float = 30.0) -> T:
        """Wait until `condition` gives something true, and return that. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > until:
                raise TimeoutError(f"not within {seconds:g} s; the pods are: {[p['status'] for p in self.pods()]}")
            time.sleep(0.05)
        return found

    def close(self) -> None:
        """End the API server and every process. Closing twice is allowed."""
        if self._loop.is_closed():
            return
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        await self.api.start()
        self._controllers = [asyncio.create_task(c.run()) for c in (self._kubelet, self._deployments)]

    async def _stop(self) -> None:
        for task in self._controllers:
            task.cancel()
        ended = await asyncio.gather(*self._controllers, return_exceptions=True)
        self._kubelet.failures += [e for e in ended if e and not isinstance(e, asyncio.CancelledError)]
        await self._kubelet.close()
        await self._services.close()
        if self.api.active:
            await self.api.stop()
        await self._loop.shutdown_asyncgens()

    def _apply(self, document: Json) -> Json:
        resource = resources.by_kind(self.api.resources, document["kind"])
        space = (document["metadata"].get("namespace") or "menagerie") if resource.namespaced else ""
        key = (resource.plural, space, document["metadata"]["name"])
        asked = Asked(resource, key, manager="test", content_type=APPLY, params=(("fieldManager", "test"),))
        return copy.deepcopy(self.api.verbs.apply(asked, document))

    def _seed(self, kind: str, plural: str, namespace: str, name: str) -> None:
        meta = {"name": name} | ({"namespace": namespace} if namespace else {})
        self._store.create((plural, namespace, name), {"kind": kind, "apiVersion": "v1", "metadata": meta})

    def _kubeconfig(self, token: str, namespace: str) -> str:
        return kubeconfig.render(self.url, self.ca, token, namespace)

    def _do(self, what: Callable[[], T]) -> T:
        async def do() -> T:
            return what()

        return self._run(do())

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)


def _load(document: Json | Path | str) -> list[Json]:
    if isinstance(document, dict):
        return [document]
    text = document.read_text() if isinstance(document, Path) else document
    return [one for one in yaml.safe_load_all(text) if one]
