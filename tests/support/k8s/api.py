"""The API server: kmock serves discovery, reads and records the requests; the verbs and streams are the cluster's.

kmock's own emulation of objects has no resource versions, selectors, server-side apply or graceful deletion, so requests
for objects are answered here, at the edge where kmock hands them to its handler.
"""

from __future__ import annotations

import json
import re
import ssl
from typing import Any

import kmock
import yaml
from aiohttp import web

from tests.support.k8s import errors, reading, resources, scales
from tests.support.k8s.access import Access
from tests.support.k8s.errors import Json, bad_request, forbidden, refusal
from tests.support.k8s.logs import Logs
from tests.support.k8s.store import Store
from tests.support.k8s.verbs import APPLY, Asked, Verbs

VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.5-gke.1080000",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.24.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}


class ApiServer(kmock.KubernetesScaffold):
    """Serves a store; `start` and `stop` as often as wanted, the state stays."""

    def __init__(self, store: Store, access: Access, logs: Logs, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.store, self.access, self.logs, self.tls = store, access, logs, tls
        self.verbs = Verbs(store)
        self.port = 0
        self.refusals: list[tuple[str, str, errors.Refusal]] = []  # ordered by tests: method, part of the path, answer
        self._runner: web.ServerRunner | None = None
        resources.fill(self.resources)
        # The official client asks for these with a slash at the end, which kmock does not know.
        self.fallback["get", re.compile(r"/version/?")] << VERSION
        self.fallback["get", re.compile(r"/api/[^/]+/|/apis/[^/]+/[^/]+/")] << self._serve_version
        self.fallback["get", re.compile(r"/apis/[^/]+/")] << self._serve_group
        self.fallback["get /apis/"] << self._serve_apis
        self.fallback["get /api/"] << self._serve_api
        for path in ("/healthz", "/livez", "/readyz"):
            self.fallback[f"get {path}"] << b"ok"

    async def start(self) -> None:
        await self.__aenter__()
        server = web.Server(self, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection, open streams too."""
        assert self._runner is not None
        server = self._runner.server
        for connection in list(server.connections) if server else []:
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()
        await self.__aexit__(None, None, None)

    async def _render_error(self, exc: Exception) -> web.StreamResponse:
        if isinstance(exc, errors.Refusal):
            return _json(errors.document(exc), status=exc.status)
        return await super()._render_error(exc)

    async def _handle(self, request: kmock.Request) -> web.StreamResponse:
        if request.resource is None or (request.resource.plural is None and request.namespace is None):
            return await super()._handle(request)
        user = self.access.user(request.headers.get("Authorization", ""))
        for ordered in self.refusals:
            method, part, answer = ordered
            if request.method.value == method and part in request.url.path:
                self.refusals.remove(ordered)
                raise answer
        asked = self._asked(request)
        params = dict(asked.params)
        watching = params.get("watch") in ("true", "True", "1")
        verb = _verb(request.method.value, asked, watching=watching)
        self._authorize(user, verb, asked)
        body = _body(request)
        if asked.resource.kind == "SelfSubjectAccessReview":
            return _json(self._review(user, body), status=201)
        raw = request._raw_request
        assert raw is not None
        match verb:
            case "get" if asked.subresource == "log":
                return await reading.log(raw, self.store.get(asked.key), self.logs, params)
            case "get":
                found = self.store.get(asked.key)
                return _json(scales.scale(found) if asked.subresource == "scale" else found)
            case "list":
                return _json(reading.listing(self.store, asked))
            case "watch":
                return await reading.watch(raw, self.store, asked)
            case "create":
                return _json(self.verbs.create(asked, body), status=201)
            case "update":
                return _json(self.verbs.replace(asked, body))
            case "patch":
                new = self.store.find(asked.key) is None
                if new and asked.content_type == APPLY:
                    self._authorize(user, "create", asked)
                return _json(self.verbs.patch(asked, body), status=201 if new else 200)
            case "delete":
                return _json(_deleted(asked, self.store.get(asked.key), self.verbs.delete(asked, body)))
            case "deletecollection":
                return _json(self._delete_collection(asked, body))
        raise refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _asked(self, request: kmock.Request) -> Asked:
        wanted, namespace, name = request.resource, request.namespace, request.name
        assert wanted is not None
        if wanted.plural is None:  # /api/v1/namespaces/<name> itself
            wanted, namespace, name = kmock.resource("", "v1", "namespaces"), None, namespace
        resource = resources.look_up(self.resources, wanted)
        if request.subresource and request.subresource not in resource.subresources:
            raise refusal(404, "NotFound", "the server could not find the requested resource")
        agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
        return Asked(
            resource=resource,
            key=(resource.plural, namespace or "", name or ""),
            subresource=request.subresource or "",
            manager=request.params.get("fieldManager") or agent,
            content_type=request.headers.get("Content-Type", "").partition(";")[0].strip(),
            params=tuple(request.params.items()),
        )

    def _authorize(self, user: str, verb: str, asked: Asked) -> None:
        plural, namespace, name = asked.key
        group = "" if "/" not in asked.resource.api_version else asked.resource.api_version.partition("/")[0]
        resource = f"{plural}/{asked.subresource}" if asked.subresource else plural
        if asked.resource.kind == "SelfSubjectAccessReview":
            return  # everybody may ask what they may do
        if not self.access.allows(user, verb, group, resource, namespace, name):
            what = f'User "{user}" cannot {verb} resource "{resource}" in API group "{group}" in the namespace'
            raise forbidden(f'{plural}{f".{group}" if group else ""} "{name}" is forbidden: {what} "{namespace}"')

    def _review(self, user: str, body: Any) -> Json:
        wanted = (body.get("spec") or {}).get("resourceAttributes") or {}
        plural = wanted.get("resource", "") + (f"/{wanted['subresource']}" if wanted.get("subresource") else "")
        rest = (wanted.get("group", ""), plural, wanted.get("namespace", ""), wanted.get("name", ""))
        allowed = self.access.allows(user, wanted.get("verb", ""), *rest)
        return {**body, "metadata": body.get("metadata") or {}, "status": {"allowed": allowed}}

    def _delete_collection(self, asked: Asked, body: Any) -> Json:
        found = reading.listing(self.store, asked)
        for item in found["items"]:
            meta = item["metadata"]
            key = (asked.key[0], meta.get("namespace", ""), meta["name"])
            self.verbs.delete(Asked(asked.resource, key, params=asked.params), body)
        return found


def _json(document: Json, status: int = 200) -> web.Response:
    """Without a charset, as Kubernetes answers; lightkube looks for exactly this."""
    return web.Response(body=json.dumps(document).encode(), status=status, headers={"Content-Type": "application/json"})


def _verb(method: str, asked: Asked, *, watching: bool) -> str:
    one = bool(asked.key[2])
    if method == "GET":
        return "watch" if watching else "get" if one else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete" if one else "deletecollection"}.get(
        method, method
    )


def _body(request: kmock.Request) -> Any:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if not request.body:
        return None
    try:
        return yaml.safe_load(request.body) if kind == APPLY else request.data
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _deleted(asked: Asked, before: Json, after: Json | None) -> Json:
    if after is not None or asked.resource.kind == "Pod":
        return after or before
    details = {"name": asked.key[2], "kind": asked.resource.plural, "uid": before["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
