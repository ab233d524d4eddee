"""The reading half of the API: lists, watches and logs."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

from aiohttp import web

from tests.support.k8s import errors, selectors
from tests.support.k8s.errors import Json, Refusal, bad_request
from tests.support.k8s.logs import Logs
from tests.support.k8s.selectors import Test
from tests.support.k8s.store import Store
from tests.support.k8s.verbs import Asked

BOOKMARK = 1.0  # seconds between two bookmarks; a real server's come every minute or so


def listing(store: Store, asked: Asked) -> Json:
    wanted = _wanted(asked)
    plural, namespace, _ = asked.key
    found = [thing for thing in store.all(plural, namespace or None) if wanted(thing)]
    start, limit = _chunk(asked)
    meta: Json = {"resourceVersion": str(store.version)}
    if limit and len(found) > start + limit:
        meta["continue"] = base64.b64encode(str(start + limit).encode()).decode()
        meta["remainingItemCount"] = len(found) - start - limit
    found = found[start : start + limit] if limit else found[start:]
    # Items of built-in types come without their own kind; those of custom resources have it.
    custom = asked.resource.api_version.startswith(("gateway.networking.k8s.io/", "networking.gke.io/", "cloud."))
    items = found if custom else [{k: v for k, v in t.items() if k not in ("kind", "apiVersion")} for t in found]
    kind = f"{asked.resource.kind}List"
    return {"kind": kind, "apiVersion": asked.resource.api_version, "metadata": meta, "items": items}


async def watch(raw: web.BaseRequest, store: Store, asked: Asked) -> web.StreamResponse:
    """A stream of events, one JSON document a line; a version that is too old is an ERROR event with code 410."""
    if asked.param("sendInitialEvents"):
        raise bad_request("sendInitialEvents is forbidden: the WatchList feature is off")
    if not (asked.param("resourceVersion") or "0").isdigit():
        raise bad_request(f"invalid resource version: {asked.param('resourceVersion')}")
    wanted = _wanted(asked)
    until = asyncio.get_running_loop().time() + float(asked.param("timeoutSeconds") or 1800)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(raw)

    async def send(kind: str, thing: Json) -> None:
        await response.write(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    with store.watching() as news:
        version = int(asked.param("resourceVersion") or 0)
        if version == 0:
            version = store.version
            for thing in store.all(asked.key[0], asked.key[1] or None):
                if wanted(thing):
                    await send("ADDED", thing)
        bookmarks = asked.param("allowWatchBookmarks") in ("true", "True", "1")
        told = version
        while True:
            news.clear()
            try:
                changes = store.since(version)
            except Refusal as error:
                await send("ERROR", errors.document(error))
                break
            for change in changes:
                version = change.version
                if change.key[0] == asked.key[0] and asked.key[1] in ("", change.key[1]):
                    now = change.type != "DELETED" and wanted(change.object)
                    before = change.before is not None and wanted(change.before)
                    if now or before:
                        told = version
                        await send("ADDED" if not before else "MODIFIED" if now else "DELETED", change.object)
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(news.wait(), min(left, BOOKMARK))
            except TimeoutError:
                if bookmarks and told != version:
                    told = version
                    meta = {"resourceVersion": str(version), "creationTimestamp": None}
                    kind = {"kind": asked.resource.kind, "apiVersion": asked.resource.api_version}
                    await send("BOOKMARK", {**kind, "metadata": meta})
    await response.write_eof()
    return response


async def log(raw: web.BaseRequest, pod: Json, logs: Logs, params: dict[str, str]) -> web.StreamResponse:
    """A container's log as plain text; with `follow` until the container ends."""
    names = [c["name"] for c in pod["spec"]["containers"]]
    name = params.get("container") or names[0]
    pod_name = pod["metadata"]["name"]
    if not params.get("container") and len(names) > 1:
        raise bad_request(f"a container name must be specified for pod {pod_name}, choose one of: {names}")
    if name not in names:
        raise bad_request(f"container {name} is not valid for pod {pod_name}")
    previous = params.get("previous") in ("true", "True")
    found = logs.find(pod["metadata"]["uid"], name, previous=previous)
    if found is None:
        if previous:
            raise bad_request(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        raise bad_request(f'container "{name}" in pod "{pod_name}" is waiting to start: {_waiting(pod, name)}')
    timestamps, follow = (params.get(word) in ("true", "True") for word in ("timestamps", "follow"))
    tail = int(params["tailLines"]) if params.get("tailLines") else None
    first = found.first(tail=tail, since=_since(params))
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(raw)
    cut = found.cuts.pop(0) if follow and found.cuts else None
    lines = found.follow(first)
    last, sent = len(found.lines) - first, 0
    while follow or sent < last:
        try:
            line = await anext(lines)
        except StopAsyncIteration:
            break
        await response.write(line.rendered(timestamps=timestamps))
        sent += 1
        if cut is not None and sent >= cut:
            if raw.transport is not None:
                raw.transport.close()  # in the middle of a chunked answer, as a proxy or a node that dies does
            return response
    await lines.aclose()  # type: ignore[attr-defined]
    await response.write_eof()
    return response


def _wanted(asked: Asked) -> Test:
    tests = [
        selectors.labels(asked.param("labelSelector")),
        selectors.fields(asked.param("fieldSelector"), asked.key[0]),
    ]
    if asked.key[2]:
        tests.append(lambda thing: thing["metadata"]["name"] == asked.key[2])
    return lambda thing: all(test(thing) for test in tests)


def _chunk(asked: Asked) -> tuple[int, int]:
    start = int(base64.b64decode(asked.param("continue"))) if asked.param("continue") else 0
    return start, int(asked.param("limit") or 0)


def _since(params: dict[str, str]) -> datetime | None:
    if params.get("sinceSeconds"):
        if int(params["sinceSeconds"]) <= 0:
            raise bad_request("sinceSeconds: Invalid value: must be greater than 0")
        return datetime.now(UTC) - timedelta(seconds=int(params["sinceSeconds"]))
    return datetime.fromisoformat(params["sinceTime"]) if params.get("sinceTime") else None


def _waiting(pod: Json, name: str) -> str:
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if status["name"] == name and "waiting" in status["state"]:
            reason: str = status["state"]["waiting"]["reason"]
            return "trying and failing to pull image" if "Image" in reason else reason
    return "ContainerCreating"
