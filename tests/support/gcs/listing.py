"""objects.list: https://cloud.google.com/storage/docs/json_api/v1/objects/list"""

from __future__ import annotations

import base64
import binascii
import bisect
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support.gcs.objects import ApiError, Bucket, Object, Query, whole

LARGEST_PAGE = 1000
_ALL = 1 << 63  # later than any generation


def page(bucket: Bucket, query: Query, url: str) -> dict[str, Any]:
    wanted = whole(query, "maxResults")
    size = min(wanted or LARGEST_PAGE, LARGEST_PAGE)
    try:
        start, after = json.loads(base64.urlsafe_b64decode(query["pageToken"])) if query.get("pageToken") else ("", 0)
    except (binascii.Error, ValueError):
        raise ApiError(400, f"Invalid page token: {query['pageToken']}") from None
    only = re.search(r"items\(([\w,]*)\)", query.get("fields", ""))  # the one use of `fields` that pays
    items: list[dict[str, Any]] = []
    prefixes: list[str] = []
    result: dict[str, Any] = {"kind": "storage#objects"}
    following = None
    for place, prefix, found in _walk(bucket, query, start, after):
        if len(items) + len(prefixes) >= size:
            result["nextPageToken"] = base64.urlsafe_b64encode(json.dumps(following).encode()).decode()
            break
        following = place
        prefixes += [prefix] if prefix else []
        for each in found:
            resource = each.resource(url)
            items.append({key: resource[key] for key in only[1].split(",") if key in resource} if only else resource)
    return result | ({"items": items} if items else {}) | ({"prefixes": prefixes} if prefixes else {})


def _walk(bucket: Bucket, query: Query, start: str, after: int) -> Iterator[tuple[tuple[str, int], str, list[Object]]]:
    """From the name `start`, of which generations up to `after` are past: where to go on, a prefix or "", objects."""
    prefix, delimiter, end = (query.get(key, "") for key in ("prefix", "delimiter", "endOffset"))
    versions, trailing = query.get("versions") == "true", query.get("includeTrailingDelimiter") == "true"
    index = bisect.bisect_left(bucket.names, max(prefix, query.get("startOffset", ""), start))
    while index < len(bucket.names):
        name = bucket.names[index]
        if not name.startswith(prefix) or (end and name >= end):
            return
        objects = bucket.versions(name) if versions else [bucket.live[name]] if name in bucket.live else []
        if objects and delimiter and (cut := name.find(delimiter, len(prefix))) >= 0:
            folder = name[: cut + len(delimiter)]
            past = folder[:-1] + chr(ord(folder[-1]) + 1)
            yield (past, 0), folder, objects if trailing and name == folder else []
            index = bisect.bisect_left(bucket.names, past, index)
            continue
        for found in objects:
            if name > start or found.generation > after:
                yield (name, found.generation if versions else _ALL), "", [found]
        index += 1
