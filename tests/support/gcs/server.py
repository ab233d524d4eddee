"""The API over HTTP: one thread that serves all connections, so that requests take effect one after the other."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from http.client import responses

import httptools

from tests.support.gcs.api import Api
from tests.support.gcs.faults import Call, Fault
from tests.support.gcs.messages import Answer, Request, refusal
from tests.support.gcs.objects import ApiError, Bucket

log = logging.getLogger(__name__)


class GcsServer:
    """Serves on a free port of loopback from entering to leaving; leaving raises what failed inside of the server."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.api = Api(self.url)
        self.calls: list[Call] = []  # in the order in which they took effect
        self.faults: list[Fault] = []
        self._failed: list[Exception] = []
        self._connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="gcs", daemon=True)

    def __enter__(self) -> GcsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def make_bucket(self, name: str, *, versioned: bool = False) -> Bucket:
        async def there() -> Bucket:
            return self.api.make_bucket(name, versioned)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result()

    def inject(self, *faults: Fault) -> None:
        """From now on; of those that match a call, the first that befalls it."""
        self.faults += faults

    def billed(self) -> Counter[str]:
        """Operations of class A and class B so far."""
        return Counter(call.billed for call in self.calls if call.billed)

    def operations(self) -> Counter[str]:
        return Counter(call.operation for call in self.calls)

    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def forget(self) -> None:
        """No more faults; an empty log."""
        self.faults, self.calls = [], []

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), sock=self._socket)
        )
        self._loop.run_forever()
        listening.close()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        """Nothing stays open: what is being accepted is a connection first."""
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
        for connection in list(self._connections):
            connection.transport.abort()
        while self._connections:
            await asyncio.sleep(0)

    def serve(self, connection: _Connection, request: Request) -> None:
        call, act = self.api.resolve(request)
        fault = next((fault for fault in self.faults if fault.befalls(call)), Fault())
        if fault.spoil:
            request.body = flip(request.body)
        if fault.delay:
            self._loop.call_later(fault.delay, self._answer, connection, call, act, fault)
        else:
            self._answer(connection, call, act, fault)

    def _answer(self, connection: _Connection, call: Call, act: Callable[[], Answer], fault: Fault) -> None:
        answer = Answer()
        if fault.meanwhile:
            fault.meanwhile()
        if fault.after or not (fault.status or fault.reset):
            answer = self._act(act)
        if fault.status:
            answer = refusal(ApiError(fault.status, "a fault, as ordered"))
        self.calls.append(call)
        if fault.reset:
            connection.reset()
            return
        call.status, call.sent = answer.status, len(answer.body)
        if fault.corrupt:
            answer.body = flip(answer.body)
        connection.send(answer, short=fault.short)

    def _act(self, act: Callable[[], Answer]) -> Answer:
        try:
            return act()
        except ApiError as error:
            return refusal(error)
        except Exception as error:
            log.exception("the test server failed")
            self._failed.append(error)
            return refusal(ApiError(500, repr(error)))


def flip(body: bytes) -> bytes:
    """With one bit in its middle changed, if it has one."""
    middle = len(body) // 2
    return body[:middle] + bytes(byte ^ 1 for byte in body[middle : middle + 1]) + body[middle + 1 :]


class _Connection(asyncio.Protocol):
    """One request after the other; its methods on_… are called by the parser."""

    transport: asyncio.Transport

    def __init__(self, server: GcsServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._server._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._server._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._target, self._body = b"", bytearray()
        self._headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if "expect" in self._headers:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method, target = self._parser.get_method().decode(), self._target.decode("latin-1")
        self._server.serve(self, Request(method, target, self._headers, bytes(self._body)))

    def send(self, answer: Answer, *, short: bool) -> None:
        body = answer.body[: len(answer.body) // 2] if short else answer.body
        lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines += [] if answer.status in (204, 304) else [f"Content-Length: {len(answer.body)}"]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        if short or not self._parser.should_keep_alive():
            self.transport.close()

    def reset(self) -> None:
        """RST, not FIN: what the client has sent or not read is lost to it."""
        peer = self.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
