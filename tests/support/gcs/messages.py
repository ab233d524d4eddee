"""Requests and answers, and how an object's content is answered."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.gcs.objects import ApiError, Object, check


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    method: str
    target: str  # as it came: path?query
    headers: dict[str, str]  # names in lower case
    body: bytes

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = parts.path
        self.arguments = parse_qsl(parts.query, keep_blank_values=True)
        self.query = dict(self.arguments)

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def json(self) -> dict[str, Any]:
        return parse_json(self.body)


def parse_json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ApiError(400, "Parse Error", "parseError")
    return parsed


def in_json(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def refusal(error: ApiError) -> Answer:
    return Answer(304) if error.status == 304 else in_json(error.body, error.status)


def check_reading(found: Object, request: Request) -> None:
    check(request.query, found)
    if (wanted := request.header("if-match")) and wanted.strip('"') != found.etag:
        raise ApiError(412, "At least one of the pre-conditions you specified did not hold.")
    if request.header("if-none-match").strip('"') == found.etag:
        raise ApiError(304, "")


def content(found: Object, request: Request) -> Answer:
    """https://cloud.google.com/storage/docs/transcoding has the rules for gzip."""
    encoding = found.fields.get("contentEncoding", "")
    headers = {
        "Content-Type": found.fields.get("contentType", "application/octet-stream"),
        "ETag": found.etag,
        "X-Goog-Generation": str(found.generation),
        "X-Goog-Metageneration": str(found.metageneration),
        "X-Goog-Hash": f"crc32c={found.crc32c}" + (f",md5={found.md5}" if found.md5 else ""),
        "X-Goog-Stored-Content-Encoding": encoding or "identity",
        "X-Goog-Stored-Content-Length": str(len(found.data)),
        "X-Goog-Storage-Class": "STANDARD",
    }
    if encoding == "gzip" and "gzip" not in request.header("accept-encoding"):
        return Answer(200, gzip.decompress(found.data), headers)  # whole, even if a range was asked for
    headers |= {"Content-Encoding": encoding} if encoding else {}
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("range"))
    if not span or not any(span.groups()):
        return Answer(200, found.data, headers)
    size = len(found.data)
    first = int(span[1]) if span[1] else max(size - int(span[2]), 0)
    last = int(span[2]) if span[1] and span[2] else size - 1
    if first >= size or last < first:
        problem = refusal(ApiError(416, f"The requested range cannot be satisfied: {span[0]}"))
        return Answer(416, problem.body, problem.headers | {"Content-Range": f"bytes */{size}"})
    part = found.data[first : last + 1]
    return Answer(206, part, headers | {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{size}"})
