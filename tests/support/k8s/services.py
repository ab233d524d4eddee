"""Services: each has one address for ever; a new connection goes to the next ready pod that its selector matches."""

from __future__ import annotations

import asyncio
import socket

from tests.support.k8s.errors import Json
from tests.support.k8s.replicasets import is_ready
from tests.support.k8s.store import Store


class Services:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._sockets: dict[tuple[str, str], socket.socket] = {}
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()
        self._turn = 0

    def url(self, namespace: str, name: str) -> str:
        """Where the Service answers, whether it exists yet or not. Called in the cluster's event loop."""
        key = (namespace, name)
        if key not in self._sockets:
            listener = socket.create_server(("127.0.0.1", 0), backlog=512)
            self._sockets[key] = listener
            task = asyncio.get_running_loop().create_task(self._serve(key, listener))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        return f"http://127.0.0.1:{self._sockets[key].getsockname()[1]}"

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, key: tuple[str, str], listener: socket.socket) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            try:
                await self._connect(key, reader, writer)
            finally:
                writer.transport.abort()
                self._open.discard(task)

        self._servers.append(await asyncio.start_server(accept, sock=listener))

    async def _connect(self, key: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = self._next(key)
        if address is None:
            return
        try:
            inner, outer = await asyncio.open_connection(*address)
        except OSError:
            return  # the pod died and nobody knows yet: the client's connection breaks, as it would in a cluster
        try:
            await asyncio.gather(_pipe(reader, outer), _pipe(inner, writer))
        except OSError:
            return
        finally:
            outer.transport.abort()

    def _next(self, key: tuple[str, str]) -> tuple[str, int] | None:
        service = self._store.find(("services", *key))
        if service is None or not service["spec"].get("selector"):
            return None
        wanted = service["spec"]["selector"].items()
        pods = [
            pod
            for pod in self._store.all("pods", key[0])
            if wanted <= (pod["metadata"].get("labels") or {}).items()
            and not pod["metadata"].get("deletionTimestamp")
            and is_ready(pod)
        ]
        if not pods:
            return None
        self._turn += 1
        pod = pods[self._turn % len(pods)]
        return pod["status"]["podIP"], _port(service, pod)


def _port(service: Json, pod: Json) -> int:
    target = service["spec"]["ports"][0]["targetPort"]
    if isinstance(target, int):
        return target
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    return int(next(port["containerPort"] for port in ports if port.get("name") == target))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
