"""Bodies of uploads, and resumable uploads (https://cloud.google.com/storage/docs/performing-resumable-uploads)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.support.gcs.messages import parse_json
from tests.support.gcs.objects import EDITABLE, ApiError, Bucket, Object, Query, check

QUANTUM = 256 << 10  # what is kept of a chunk that is not the last is a multiple of it


def split_related(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    """Metadata, content type and data of a multipart/related body, whose lines end in CRLF or in LF."""
    if not (found := re.search(r'boundary="?([^";]+)', content_type)):
        raise ApiError(400, "Missing boundary in Content-Type")
    mark, body = b"--" + found[1].encode(), body.lstrip(b"\r\n")
    line = b"\r\n" if body.startswith(mark + b"\r\n") else b"\n"
    parts = [part.partition(line * 2) for part in (line + body).split(line + mark)]
    if len(parts) != 4 or not parts[3][0].startswith(b"--"):
        raise ApiError(400, "A multipart upload has two parts: metadata and data")
    kind = re.search(rb"(?im)^content-type:[ \t]*([^\r\n]*)", parts[2][0])
    return parse_json(parts[1][2]), kind[1].decode() if kind else "", parts[2][2]


def create(bucket: Bucket, query: Query, resource: dict[str, Any], kind: str, hashes: str, data: bytes) -> Object:
    """Insert what was uploaded. `hashes` is the header x-goog-hash; those in the resource count, too."""
    fields = {"contentType": kind or "application/octet-stream"}
    fields |= {key: resource[key] for key in EDITABLE if resource.get(key) is not None}
    expected = {key: resource.get(key) for key in ("crc32c", "md5Hash")}
    for algorithm, _, value in (part.strip().partition("=") for part in hashes.split(",")):
        expected[{"md5": "md5Hash"}.get(algorithm, algorithm)] = value
    computed = Object(bucket.name, "", data, 0, {})
    for key, actual in (("crc32c", computed.crc32c), ("md5Hash", computed.md5)):
        if expected[key] not in (None, actual):
            raise ApiError(400, f'Provided {key} "{expected[key]}" doesn\'t match calculated {key} "{actual}".')
    return bucket.insert(name_of(query, resource), data, fields, query)


def name_of(query: Query, resource: dict[str, Any]) -> str:
    if not (name := query.get("name") or resource.get("name")):
        raise ApiError(400, "Required object name", "required")
    return str(name)


@dataclass
class Session:
    """A resumable upload. Preconditions are checked when it begins and decide when it ends."""

    bucket: Bucket
    query: Query
    resource: dict[str, Any]
    kind: str
    size: int | None  # if it was announced
    data: bytearray = field(default_factory=bytearray)
    done: Object | None = None

    def __post_init__(self) -> None:
        check(self.query, self.bucket.live.get(name_of(self.query, self.resource)))

    def put(self, content_range: str, hashes: str, body: bytes) -> Object | None:
        """The object if that was the last chunk, else None. Bytes that are kept already are ignored."""
        if self.done is not None:
            return self.done
        found = re.fullmatch(
            r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range or f"bytes 0-{len(body) - 1}/{len(body)}"
        )
        if found is None and content_range:
            raise ApiError(400, f"Failed to parse Content-Range header: {content_range}")
        first, last, total = found.groups() if found else ("0", "-1", "0")
        size = None if total == "*" else int(total)
        if self.size is not None and size not in (None, self.size):
            raise ApiError(400, f"{size} bytes, but {self.size} were announced")
        if first is not None:
            if int(last) - int(first) + 1 != len(body):
                raise ApiError(
                    400, f"Content-Range {content_range} does not agree with the {len(body)} bytes of the body"
                )
            final = size is not None and int(last) + 1 == size
            if not final and len(body) < QUANTUM:
                raise ApiError(400, f"A chunk that is not the last has at least {QUANTUM} bytes, not {len(body)}")
            kept = body if final else body[: len(body) // QUANTUM * QUANTUM]
            if int(first) <= len(self.data):
                self.data += kept[len(self.data) - int(first) :]
        if size is None or len(self.data) != size:
            return None
        self.done = create(self.bucket, self.query, self.resource, self.kind, hashes, bytes(self.data))
        return self.done
