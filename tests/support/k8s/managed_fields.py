"""Server-side apply: who owns which field (`metadata.managedFields`), what an apply changes, and when it conflicts.

After https://kubernetes.io/docs/reference/using-api/server-side-apply/. A path is a tuple of FieldsV1 keys, such as
`("f:spec", "f:containers", 'k:{"name":"base"}', "f:image")`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from tests.support.k8s.errors import Json, refusal
from tests.support.k8s.store import now

Path = tuple[str, ...]
Fields = dict[Path, Any]
LIST_KEYS = {
    "containers": ("name",), "initContainers": ("name",), "env": ("name",), "volumeMounts": ("mountPath",),
    "volumes": ("name",), "imagePullSecrets": ("name",), "conditions": ("type",), "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"), "hostAliases": ("ip",), "listeners": ("name",),
    "resourceClaims": ("name",), "secrets": ("name",),
}  # fmt: skip
SETS = {"finalizers"}
ATOMIC = {
    "selector", "labelSelector", "nodeSelector", "podSelector", "namespaceSelector", "fieldRef", "resourceFieldRef",
    "configMapKeyRef", "secretKeyRef", "roleRef",
}  # fmt: skip
SERVERS = {
    ("f:apiVersion",), ("f:kind",),
    *(("f:metadata", f"f:{name}") for name in (
        "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation", "managedFields",
        "resourceVersion", "deletionGracePeriodSeconds", "generateName", "selfLink",
    )),
}  # fmt: skip


def apply(live: Json | None, config: Json, manager: str, *, force: bool, subresource: str = "") -> Json:
    """The object after `manager` applied `config`. Raises a refusal (409) when others own what it would change."""
    config = _without_nulls(config)
    wanted = fields(config, subresource)
    old: Json = live or {}
    managers = _managers(old)
    mine = (manager, "Apply", subresource)
    former = managers.get(mine, (set(), ""))[0]
    new: Json = _merge(old, config, "")
    before, after = fields(old, subresource), fields(new, subresource)
    changed = {path for path in after if path not in before or before[path] != after[path]}
    others = {who: owned for who, (owned, _) in managers.items() if who != mine}
    conflicts = [(who, path) for who, owned in others.items() for path in sorted(owned & changed)]
    if conflicts and not force:
        raise _conflict(conflicts, managers)
    managers = {who: (owned if who == mine else owned - changed, version) for who, (owned, version) in managers.items()}
    kept = set().union(*(owned for who, (owned, _) in managers.items() if who != mine))
    for path in sorted(former - set(wanted), key=len):  # an item of a list goes before its key, by which it is found
        if not any(other[: len(path)] == path for other in kept):
            _remove(new, path)
    managers[mine] = (set(wanted), config["apiVersion"])
    return _write(new, managers, old)


def track(before: Json | None, after: Json, manager: str, subresource: str = "") -> Json:
    """The object after an ordinary write: what changed belongs to `manager` alone."""
    old, new = fields(before or {}, subresource), fields(after, subresource)
    changed = {path for path in new if path not in old or old[path] != new[path]}
    removed = set(old) - set(new)
    managers = {who: (owned - changed - removed, version) for who, (owned, version) in _managers(before or {}).items()}
    if changed:
        mine = (manager, "Update", subresource)
        managers[mine] = (managers.get(mine, (set(), ""))[0] | changed, after["apiVersion"])
    return _write(copy.deepcopy(after), managers, before or {})


def fields(thing: Json, subresource: str = "") -> Fields:
    """Every field a client can own, with its value."""
    found = {path: value for path, value in _flatten(thing, (), "") if path and path[:2] not in SERVERS}
    if subresource == "status":
        return {path: value for path, value in found.items() if path[0] == "f:status"}
    return {path: value for path, value in found.items() if path[0] != "f:status"}


def _flatten(value: Any, path: Path, name: str) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value and name not in ATOMIC:
        for key, child in value.items():
            yield from _flatten(child, (*path, f"f:{key}"), key)
    elif isinstance(value, list) and value and (keys := _keys(value, name)):
        for child in value:
            here = (*path, _item(child, keys))
            yield here, None  # the item itself: FieldsV1's "."
            yield from _flatten(child, here, "")
    elif isinstance(value, list) and value and name in SETS:
        yield from (((*path, f"v:{json.dumps(child)}"), None) for child in value)
    else:
        yield path, value


def _keys(items: list[Any], name: str) -> tuple[str, ...]:
    if not all(isinstance(item, dict) for item in items):
        return ()
    if name == "ports":
        return ("containerPort", "protocol") if any("containerPort" in item for item in items) else ("port", "protocol")
    keys = LIST_KEYS.get(name, ())
    return keys if all(all(key in item for key in keys) for item in items) else ()


def _item(item: Json, keys: tuple[str, ...]) -> str:
    values = {key: item.get(key, "TCP") for key in keys}  # protocol is the only key with a default
    return f"k:{json.dumps(values, sort_keys=True, separators=(',', ':'))}"


def _merge(live: Any, config: Any, name: str) -> Any:
    if isinstance(live, dict) and isinstance(config, dict) and name not in ATOMIC:
        return {**copy.deepcopy(live), **{key: _merge(live.get(key), value, key) for key, value in config.items()}}
    if isinstance(live, list) and isinstance(config, list):
        if keys := _keys([*live, *config], name):
            old = {_item(item, keys): item for item in live}
            new = {_item(item, keys): item for item in config}
            order = list(new) if set(old) <= set(new) else [*old, *(key for key in new if key not in old)]
            return [_merge(old.get(key, {}), new.get(key, {}), "") for key in order]
        if name in SETS:
            return [*live, *(item for item in config if item not in live)]
    return copy.deepcopy(config)


def _remove(thing: Any, path: Path) -> bool:
    """Take a field away, and whatever it leaves empty. Returns whether `thing` is empty then."""
    step, rest = path[0], path[1:]
    if isinstance(thing, dict):
        key = step[2:]
        if key in thing and (not rest or _remove(thing[key], rest)):
            del thing[key]
    elif isinstance(thing, list):
        for item in list(thing):
            mine = json.dumps(item) == step[2:] if step[0] == "v" else _is(item, json.loads(step[2:]))
            if mine and (not rest or _remove(item, rest)):
                thing.remove(item)
    return isinstance(thing, dict | list) and not thing


def _is(item: Json, keys: Json) -> bool:
    return all(item.get(key, "TCP" if key == "protocol" else None) == value for key, value in keys.items())


Managers = dict[tuple[str, str, str], tuple[set[Path], str]]


def _managers(thing: Json) -> Managers:
    entries = (thing.get("metadata") or {}).get("managedFields") or []
    return {
        (e["manager"], e["operation"], e.get("subresource", "")): (set(_paths(e["fieldsV1"], ())), e["apiVersion"])
        for e in entries
    }


def _paths(node: Json, path: Path) -> Iterator[Path]:
    for key, child in node.items():
        if key == ".":
            yield path
        elif child:
            yield from _paths(child, (*path, key))
        else:
            yield (*path, key)


def _write(thing: Json, managers: Managers, old: Json) -> Json:
    before = {
        (e["manager"], e["operation"], e.get("subresource", "")): e
        for e in (old.get("metadata") or {}).get("managedFields") or []
    }
    entries = []
    for (manager, operation, subresource), (owned, version) in managers.items():
        if not owned:
            continue
        tree: Json = {}
        for path in sorted(owned):
            node = tree
            for step in path:
                node = node.setdefault(step, {})
            if path[-1].startswith("k:"):
                node["."] = {}
        entry: Json = {"manager": manager, "operation": operation, "apiVersion": version, "time": now()}
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": tree} | ({"subresource": subresource} if subresource else {})
        former = before.get((manager, operation, subresource))
        same = former is not None and former["fieldsV1"] == tree and former["apiVersion"] == version
        entries.append(former if same else entry)
    thing.setdefault("metadata", {})["managedFields"] = entries
    return thing


def _conflict(conflicts: list[tuple[tuple[str, str, str], Path]], managers: Managers) -> Exception:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{who[0]}" using {managers[who][1]}',
            "field": "".join(f".{s[2:]}" if s[0] == "f" else f"[{s[2:]}]" for s in path),
        }
        for who, path in conflicts
    ]
    told = "\n".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    plural = "conflict" if len(causes) == 1 else "conflicts"
    return refusal(409, "Conflict", f"Apply failed with {len(causes)} {plural}: {told}", causes=causes)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value
