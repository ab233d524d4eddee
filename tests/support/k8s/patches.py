"""The patches that are not server-side apply: JSON patch, merge patch and strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from tests.support.k8s.errors import Json, bad_request, refusal

# patchMergeKey of Kubernetes' types, by field name
MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "env": "name", "volumeMounts": "mountPath", "volumes": "name",
    "imagePullSecrets": "name", "conditions": "type", "ownerReferences": "uid", "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}  # fmt: skip
TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")


def patch(thing: Json, body: Any, content_type: str) -> Json:
    """Raises refusals: 400 for a body that is no patch, 415 for a type that is unknown, 422 when it cannot be done."""
    if content_type not in TYPES:
        message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(TYPES)}"
        raise refusal(415, "UnsupportedMediaType", message)
    if content_type == TYPES[0]:
        if not isinstance(body, list):
            raise bad_request("a JSON patch is a list of operations")
        try:
            patched: Json = jsonpatch.apply_patch(thing, body)
        except jsonpatch.JsonPatchException as error:
            raise refusal(422, "Invalid", f"the server rejected our request due to an error: {error}") from error
        return patched
    if not isinstance(body, dict):
        raise bad_request("a merge patch is an object")
    merged: Json = _merge(thing, body, strategic=content_type == TYPES[2])
    return merged


def _merge(old: Any, new: Any, *, strategic: bool, name: str = "") -> Any:
    if isinstance(new, dict) and not (strategic and new.get("$patch") == "replace"):
        merged = copy.deepcopy(old) if isinstance(old, dict) else {}
        for key, value in new.items():
            if strategic and key.startswith("$"):
                continue  # directives: of order, retained keys; those that matter are handled by their list
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = _merge(merged.get(key), value, strategic=strategic, name=key)
        return merged
    if isinstance(new, dict):
        return {key: value for key, value in new.items() if key != "$patch"}
    if strategic and isinstance(new, list) and isinstance(old, list):
        return _merge_list(old, new, name)
    return copy.deepcopy(new)


def _merge_list(old: list[Any], new: list[Any], name: str) -> list[Any]:
    if name == "ports":
        key = "containerPort" if any("containerPort" in item for item in [*old, *new]) else "port"
    elif name == "finalizers":
        return [*old, *(item for item in new if item not in old)]
    elif name in MERGE_KEYS:
        key = MERGE_KEYS[name]
    else:
        return copy.deepcopy(new)
    if {"$patch": "replace"} in new:
        return [item for item in new if item != {"$patch": "replace"}]
    merged = {item[key]: item for item in old}
    for item in new:
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = _merge(merged.get(item[key]), item, strategic=True)
    return list(merged.values())
