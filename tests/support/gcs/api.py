"""The JSON API: which operation a request is, and what it does. Knows no connections and no faults."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from tests.support.gcs.faults import Call
from tests.support.gcs.listing import page
from tests.support.gcs.messages import Answer, Request, check_reading, content, in_json
from tests.support.gcs.objects import EDITABLE, ApiError, Bucket, check, whole
from tests.support.gcs.uploads import Session, create, name_of, split_related

# A `*` is a name. `media` is get with alt=media; `chunk` and `cancel` are what a resumable upload's own URL takes.
OPERATIONS = {
    "GET /storage/v1/b": "buckets.list",
    "POST /storage/v1/b": "buckets.insert",
    "GET /storage/v1/b/*": "buckets.get",
    "DELETE /storage/v1/b/*": "buckets.delete",
    "GET /storage/v1/b/*/iam/testPermissions": "buckets.testIamPermissions",
    "GET /storage/v1/b/*/storageLayout": "buckets.getStorageLayout",
    "GET /storage/v1/b/*/o": "objects.list",
    "POST /upload/storage/v1/b/*/o": "objects.insert",
    "PUT /upload/storage/v1/b/*/o": "objects.chunk",
    "DELETE /upload/storage/v1/b/*/o": "objects.cancel",
    "GET /storage/v1/b/*/o/*": "objects.get",
    "GET /download/storage/v1/b/*/o/*": "objects.media",
    "PATCH /storage/v1/b/*/o/*": "objects.patch",
    "DELETE /storage/v1/b/*/o/*": "objects.delete",
    "POST /storage/v1/b/*/o/*/compose": "objects.compose",
    "POST /storage/v1/b/*/o/*/copyTo/b/*/o/*": "objects.copy",
    "POST /storage/v1/b/*/o/*/rewriteTo/b/*/o/*": "objects.rewrite",
}
_ROUTES = [(re.compile(route.replace("*", "([^/]+)")), operation) for route, operation in OPERATIONS.items()]
_NAME = re.compile(rb'"name": *("(?:[^"\\]|\\.)*")')


class Api:
    """All buckets. The methods are the operations; they raise ApiError."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.buckets: dict[str, Bucket] = {}
        self.rewrite_bytes: int | None = None  # what one call of a rewrite copies at most; None: everything
        self.mutation_seconds = 0.0  # a name written twice in less is answered 429; the service has about 1
        self._sessions: dict[str, Session] = {}
        self._rewrites: dict[str, tuple[tuple[str, ...], int, int]] = {}  # token → names, generation, bytes copied
        self._written: dict[tuple[str, str], float] = {}

    def resolve(self, request: Request) -> tuple[Call, Callable[[], Answer]]:
        """What is asked, and how to do it."""
        operation = "unknown"
        names: tuple[str, ...] = ()
        for route, candidate in _ROUTES:
            if found := route.fullmatch(f"{request.method} {request.path}"):
                operation, names = candidate, tuple(map(unquote, found.groups()))
        if operation == "objects.get" and request.query.get("alt") == "media":
            operation = "objects.media"
        if operation == "objects.insert" and "upload_id" in request.query:
            operation = "objects.chunk"  # the service takes POST for PUT there, and gcsfs relies on it
        bucket, name = (*names, "", "")[:2] if len(names) < 4 else names[2:]
        if operation == "objects.insert":
            said = _NAME.search(request.body, 0, 4096)
            name = request.query.get("name") or (json.loads(said[1]) if said else "")
        elif session := self._sessions.get(request.query.get("upload_id", "")):
            name = name_of(session.query, session.resource)
        call = Call(request.method, operation, bucket, name, received=len(request.body))
        if "rewriteToken" in request.query:
            call.billed = ""  # all calls of a rewrite are one operation
        return call, partial(getattr(self, operation.replace(".", "_")), request, *names)

    def unknown(self, request: Request, *_: str) -> Answer:
        raise ApiError(404, f"Not Found: {request.method} {request.target}")

    def make_bucket(self, name: str, versioned: bool = False) -> Bucket:
        if name in self.buckets:
            raise ApiError(409, "Your previous request to create the named bucket succeeded and you already own it.")
        self.buckets[name] = Bucket(name, versioned)
        return self.buckets[name]

    def _bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise ApiError(404, "The specified bucket does not exist.")
        return self.buckets[name]

    def buckets_insert(self, request: Request) -> Answer:
        if "project" not in request.query:
            raise ApiError(400, "Required parameter: project", "required")
        resource = request.json()
        versioned = bool(resource.get("versioning", {}).get("enabled"))
        return in_json(self.make_bucket(name_of({}, resource), versioned).resource())

    def buckets_list(self, request: Request) -> Answer:
        buckets = sorted(self.buckets.items())
        found = [bucket.resource() for name, bucket in buckets if name.startswith(request.query.get("prefix", ""))]
        return in_json({"kind": "storage#buckets", "items": found})

    def buckets_get(self, request: Request, name: str) -> Answer:
        check(request.query, self._bucket(name))
        return in_json(self._bucket(name).resource())

    def buckets_delete(self, request: Request, name: str) -> Answer:
        check(request.query, self._bucket(name))
        if self.buckets[name].names:
            raise ApiError(409, "The bucket you tried to delete is not empty.")
        del self.buckets[name]
        return Answer(204)

    def buckets_testIamPermissions(self, request: Request, name: str) -> Answer:
        self._bucket(name)
        asked = [value for key, value in request.arguments if key == "permissions"]
        return in_json({"kind": "storage#testIamPermissionsResponse", "permissions": asked})

    def buckets_getStorageLayout(self, request: Request, name: str) -> Answer:
        """Which gcloud asks for before it copies. https://cloud.google.com/storage/docs/json_api/v1/buckets/getStorageLayout"""
        self._bucket(name)
        layout = {"kind": "storage#storageLayout", "bucket": name, "hierarchicalNamespace": {"enabled": False}}
        return in_json(layout)

    def objects_list(self, request: Request, bucket: str) -> Answer:
        return in_json(page(self._bucket(bucket), request.query, self.url))

    def objects_insert(self, request: Request, bucket: str) -> Answer:
        query, into, kind = request.query, self._bucket(bucket), request.header("content-type")
        resource: dict[str, Any] = {}
        data = request.body
        if (how := query.get("uploadType")) == "resumable":
            kind, size = request.header("x-upload-content-type"), whole(request.headers, "x-upload-content-length")
            session, upload = Session(into, query, request.json(), kind, size), secrets.token_urlsafe(24)
            self._limit(bucket, name_of(query, session.resource))
            self._sessions[upload] = session
            url = f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload}"
            return Answer(headers={"Location": url, "X-GUploader-UploadID": upload})
        if how == "multipart":
            resource, kind, data = split_related(kind, data)
        elif how != "media":
            raise ApiError(400, f"Invalid upload type: {how}")
        self._limit(bucket, name_of(query, resource))
        return in_json(create(into, query, resource, kind, request.header("x-goog-hash"), data).resource(self.url))

    def _limit(self, bucket: str, name: str) -> None:
        """Not to be written too often: https://cloud.google.com/storage/quotas#objects"""
        moment = time.monotonic()
        if moment - self._written.get((bucket, name), 0.0) < self.mutation_seconds:
            raise ApiError(429, f"The object {bucket}/{name} exceeded the rate limit for object mutation operations.")
        self._written[bucket, name] = moment

    def objects_chunk(self, request: Request, _: str) -> Answer:
        if not (session := self._sessions.get(request.query.get("upload_id", ""))):
            raise ApiError(404, "No such upload")
        if done := session.put(request.header("content-range"), request.header("x-goog-hash"), request.body):
            return in_json(done.resource(self.url))
        return Answer(308, headers={"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {})

    def objects_cancel(self, request: Request, _: str) -> Answer:
        if not self._sessions.pop(request.query.get("upload_id", ""), None):
            raise ApiError(404, "No such upload")
        return Answer(499)

    def objects_get(self, request: Request, bucket: str, name: str) -> Answer:
        found = self._bucket(bucket).find(name, whole(request.query, "generation"))
        check_reading(found, request)
        return in_json(found.resource(self.url))

    def objects_media(self, request: Request, bucket: str, name: str) -> Answer:
        found = self._bucket(bucket).find(name, whole(request.query, "generation"))
        check_reading(found, request)
        return content(found, request)

    def objects_patch(self, request: Request, bucket: str, name: str) -> Answer:
        return in_json(self._bucket(bucket).patch(name, request.json(), request.query).resource(self.url))

    def objects_delete(self, request: Request, bucket: str, name: str) -> Answer:
        self._bucket(bucket).delete(name, request.query)
        return Answer(204)

    def objects_compose(self, request: Request, bucket: str, name: str) -> Answer:
        asked, into, sources = request.json(), self._bucket(bucket), []
        for source in asked.get("sourceObjects") or ():
            sources.append(into.find(source["name"], whole(source, "generation")))
            check(source.get("objectPreconditions", {}), sources[-1])
        if not 0 < len(sources) <= 32:
            raise ApiError(400, f"The number of source components provided ({len(sources)}) must be 1 to 32")
        fields = {key: value for key, value in asked.get("destination", {}).items() if key in EDITABLE}
        data, count = b"".join(each.data for each in sources), sum(each.components or 1 for each in sources)
        return in_json(into.insert(name, data, fields, request.query, count).resource(self.url))

    def objects_copy(self, request: Request, *names: str) -> Answer:
        return in_json(self._rewrite(request, names, None)["resource"])

    def objects_rewrite(self, request: Request, *names: str) -> Answer:
        limits = filter(None, (self.rewrite_bytes, whole(request.query, "maxBytesRewrittenPerCall")))
        return in_json(self._rewrite(request, names, min(limits, default=None)))

    def _rewrite(self, request: Request, names: tuple[str, ...], limit: int | None) -> dict[str, Any]:
        """An empty resource takes over the source's metadata; any other is all that the copy gets."""
        (bucket, name, to_bucket, to_name), query = names, request.query
        generation, copied = whole(query, "sourceGeneration"), 0
        if token := query.get("rewriteToken"):
            of, generation, copied = self._rewrites.get(token, ((), 0, 0))
            if of != names:
                raise ApiError(400, "Invalid rewrite token")
        found, into = self._bucket(bucket).find(name, generation), self._bucket(to_bucket)
        check(query, found, "ifSource")
        check(query, into.live.get(to_name))
        size = len(found.data)
        copied = min(size, copied + (size if limit is None else limit))
        progress = {"kind": "storage#rewriteResponse", "totalBytesRewritten": str(copied), "objectSize": str(size)}
        if copied < size:
            token = token or secrets.token_urlsafe(24)
            self._rewrites[token] = (names, found.generation, copied)
            return progress | {"done": False, "rewriteToken": token}
        asked = request.json()
        fields = {key: asked[key] for key in EDITABLE if asked.get(key) is not None} or dict(found.fields)
        made = into.insert(to_name, found.data, fields, query, found.components)
        return progress | {"done": True, "resource": made.resource(self.url)}
