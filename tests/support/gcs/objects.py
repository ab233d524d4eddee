"""Objects by name and generation. Every change is conditional and atomic: one thread makes them, one after the other."""

from __future__ import annotations

import base64
import bisect
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import google_crc32c

# https://cloud.google.com/storage/docs/metadata#editable
EDITABLE = (
    *("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType"),
    *("customTime", "eventBasedHold", "metadata", "storageClass", "temporaryHold"),
)
REASONS = {304: "notModified", 404: "notFound", 409: "conflict", 412: "conditionNotMet", 429: "rateLimitExceeded"}
REASONS |= {400: "invalid", 408: "requestTimeout", 410: "gone", 416: "requestedRangeNotSatisfiable"}
Query = Mapping[str, str]


class ApiError(Exception):
    """An answer that is no success, in Google's form."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        problem = {"message": message, "domain": "global", "reason": reason or REASONS.get(status, "backendError")}
        self.body = {"error": {"code": status, "message": message, "errors": [problem]}}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole(query: Query, name: str) -> int | None:
    try:
        return int(query[name]) if name in query else None
    except ValueError:
        raise ApiError(400, f"Invalid value for {name}: {query[name]!r}") from None


@dataclass(slots=True)
class Object:
    bucket: str
    name: str
    data: bytes
    generation: int
    fields: dict[str, Any]
    components: int = 0  # of a composed object, which has no MD5
    metageneration: int = 1
    created: str = field(default_factory=now)
    updated: str = ""
    deleted: str = ""
    crc32c: str = ""
    md5: str = ""

    def __post_init__(self) -> None:
        self.updated = self.created
        self.crc32c = base64.b64encode(google_crc32c.value(self.data).to_bytes(4, "big")).decode()
        if not self.components:
            self.md5 = base64.b64encode(hashlib.md5(self.data, usedforsecurity=False).digest()).decode()

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    def resource(self, url: str = "") -> dict[str, Any]:
        path = f"/storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"
        optional = {"md5Hash": self.md5, "timeDeleted": self.deleted, "componentCount": self.components}
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": url + path,
            "mediaLink": f"{url}/download{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(len(self.data)),
            "crc32c": self.crc32c,
            "etag": self.etag,
            "timeCreated": self.created,
            "updated": self.updated,
            **{name: value for name, value in optional.items() if value},
            **self.fields,
        }


def check(query: Query, found: Object | Bucket | None, prefix: str = "if") -> None:
    """https://cloud.google.com/storage/docs/request-preconditions; generation 0 means that there is no live object."""
    generation = getattr(found, "generation", 0)
    for what, actual in (("Generation", generation), ("Metageneration", found.metageneration if found else None)):
        if (wanted := whole(query, f"{prefix}{what}Match")) is not None and wanted != actual:
            raise ApiError(412, "At least one of the pre-conditions you specified did not hold.")
        unwanted = whole(query, f"{prefix}{what}NotMatch")
        if unwanted is not None and (found is None or unwanted == actual):
            raise ApiError(304, "")


class Bucket:
    """Names are in the order of their UTF-8 bytes, which is that of their code points."""

    def __init__(self, name: str, versioned: bool) -> None:
        self.name, self.versioned = name, versioned
        self.metageneration, self.created = 1, now()
        self.live: dict[str, Object] = {}
        self.noncurrent: dict[str, list[Object]] = {}  # oldest first
        self.names: list[str] = []
        self._last = 0

    def resource(self) -> dict[str, Any]:
        return {
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "metageneration": str(self.metageneration),
            "location": "US",
            "storageClass": "STANDARD",
            "timeCreated": self.created,
            "versioning": {"enabled": self.versioned},
        }

    def find(self, name: str, generation: int | None = None) -> Object:
        versions = self.versions(name) if generation is not None else filter(None, [self.live.get(name)])
        for found in versions:
            if generation in (None, found.generation):
                return found
        raise ApiError(404, f"No such object: {self.name}/{name}")

    def versions(self, name: str) -> list[Object]:
        return [*self.noncurrent.get(name, ()), *filter(None, [self.live.get(name)])]

    def insert(self, name: str, data: bytes, fields: dict[str, Any], query: Query, components: int = 0) -> Object:
        if not 0 < len(name.encode()) <= 1024 or name in (".", "..") or "\n" in name or "\r" in name:
            raise ApiError(400, f"Invalid object name: {name!r}")
        check(query, self.live.get(name))
        self._last = max(time.time_ns() // 1000, self._last + 1)
        made = Object(self.name, name, data, self._last, fields, components)
        if not self.versions(name):
            bisect.insort(self.names, name)
        self._retire(name)
        self.live[name] = made
        return made

    def patch(self, name: str, changes: dict[str, Any], query: Query) -> Object:
        """https://datatracker.ietf.org/doc/html/rfc7396: null removes."""
        found = self.find(name, whole(query, "generation"))
        check(query, found)
        for key in EDITABLE & changes.keys():
            value = changes[key]
            if key == "metadata" and value is not None:
                merged = {**found.fields.get("metadata", {}), **value}
                value = {name: text for name, text in merged.items() if text is not None} or None
            found.fields = {name: old for name, old in found.fields.items() if name != key}
            if value is not None:
                found.fields[key] = value
        found.metageneration, found.updated = found.metageneration + 1, now()
        return found

    def delete(self, name: str, query: Query) -> None:
        """The live object becomes noncurrent if the bucket is versioned; a named generation is gone for good."""
        generation = whole(query, "generation")
        found = self.find(name, generation)
        check(query, found)
        if generation is None:
            self._retire(name)
        elif self.live.get(name) is found:
            del self.live[name]
        else:
            self.noncurrent[name].remove(found)
        if not self.versions(name):
            del self.names[bisect.bisect_left(self.names, name)]

    def _retire(self, name: str) -> None:
        if (old := self.live.pop(name, None)) and self.versioned:
            old.deleted = now()
            self.noncurrent.setdefault(name, []).append(old)
