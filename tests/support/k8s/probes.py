"""Probes of containers: real requests, asked often, judged by the periods and thresholds of the pod."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.k8s.errors import Json

OFTEN = 0.2  # seconds between two questions: tests wait for an answer, not for a period to pass


async def ask(probe: Json, container: Json, address: str) -> str:
    """Empty when the container is well, else what is wrong in the kubelet's words."""
    get = probe.get("httpGet")
    if get is None:
        return f"the test kubelet has HTTP probes only, not {probe}"
    port = get["port"]
    if isinstance(port, str):
        port = next(p["containerPort"] for p in container["ports"] if p.get("name") == port)
    url = f"http://{address}:{port}{get.get('path', '/')}"
    try:
        async with asyncio.timeout(probe["timeoutSeconds"]):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(f"GET {get['path']} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                status = int((await reader.readline()).split()[1])
            finally:
                writer.close()
    except (OSError, TimeoutError, IndexError, ValueError) as error:
        return f'Get "{url}": {type(error).__name__} {error}'.strip()
    return "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


async def startup(probe: Json | None, container: Json, address: str) -> str:
    """Wait until the container has started. Returns what is wrong when it has not after all its tries."""
    if probe is None:
        return ""
    failed: list[str] = []
    done = asyncio.Event()

    def heard(wrong: str) -> None:
        failed[:] = [wrong]
        done.set()

    await _until(probe, container, address, heard, lambda: done.is_set())
    return failed[0]


async def follow(probe: Json, container: Json, address: str, heard: Callable[[str], None]) -> None:
    """Tell `heard` at every change: "" for well, else what is wrong. Runs until cancelled."""
    await _until(probe, container, address, heard, lambda: False)


async def _until(
    probe: Json, container: Json, address: str, heard: Callable[[str], None], done: Callable[[], bool]
) -> None:
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(min(OFTEN, probe.get("initialDelaySeconds", 0)))
    bad_since: float | None = (
        clock() + probe.get("initialDelaySeconds", 0) - min(OFTEN, probe.get("initialDelaySeconds", 0))
    )
    state: str | None = None
    patience = probe["periodSeconds"] * probe["failureThreshold"]
    while not done():
        wrong = await ask(probe, container, address)
        if not wrong:
            bad_since = None
            if state != "":
                state = ""
                heard("")
        else:
            bad_since = clock() if bad_since is None else bad_since
            if clock() - bad_since >= patience and state != wrong:
                state = wrong
                heard(wrong)
        await asyncio.sleep(OFTEN)
