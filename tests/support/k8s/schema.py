"""What the API server knows of its types: unknown and missing fields, by the official client's generated models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes.client

from tests.support.k8s.errors import Json, bad_request, invalid

QUANTITIES = {"limits", "requests", "sizeLimit", "divisor", "hard", "capacity", "averageValue"}
_LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_CONFIGURATION = kubernetes.client.Configuration()


def check(thing: Json) -> list[str]:
    """Unknown fields, each as `unknown field "spec.x"`. Raises refusals: 400 for a wrong type, 422 for what is amiss."""
    kind, name = thing["kind"], thing["metadata"].get("name") or thing["metadata"].get("generateName", "")
    _names(thing, kind, name)
    model = _model(thing["apiVersion"], kind)
    return [] if model is None else list(_walk(thing, model, "", kind, name))


def prune(thing: Json) -> Json:
    """Without the fields the type does not have, as a server with fieldValidation=Warn stores it."""
    model = _model(thing["apiVersion"], thing["kind"])
    pruned: Json = thing if model is None else _pruned(thing, model)
    return pruned


def labels(values: Json | None, field: str, kind: str, name: str) -> None:
    for key, value in (values or {}).items():
        if not isinstance(value, str):
            raise bad_request(f"json: cannot unmarshal {type(value).__name__} into {field} of type string")
        prefix, _, bare = key.rpartition("/")
        good = 0 < len(bare) <= 63 and _LABEL.match(bare) and (not prefix or _NAME.match(prefix))
        if not good:
            raise invalid(kind, name, field, f"Invalid value: {key!r}: a label key is [prefix/]name")
        if len(value) > 63 or not _LABEL.match(value):
            why = "a valid label must be 63 characters or less, alphanumeric, '-', '_' or '.', and end alphanumeric"
            raise invalid(kind, name, field, f"Invalid value: {value!r}: {why}")


def _names(thing: Json, kind: str, name: str) -> None:
    meta = thing["metadata"]
    strict = kind in ("Service", "Namespace")
    length = 63 if strict else 253
    final = meta.get("name") or meta.get("generateName", "") + "x"
    if kind not in ("Role", "RoleBinding") and (
        len(final) > length or not (_DNS_LABEL if strict else _NAME).match(final)
    ):
        raise invalid(kind, name, "metadata.name", f"Invalid value: {name!r}: a lowercase RFC 1123 name is wanted")
    labels(meta.get("labels"), "metadata.labels", kind, name)
    template = (thing.get("spec") or {}).get("template")
    if isinstance(template, dict):
        labels((template.get("metadata") or {}).get("labels"), "spec.template.labels", kind, name)
    for key, value in (meta.get("annotations") or {}).items():
        if not isinstance(value, str):
            raise bad_request(f"json: cannot unmarshal {type(value).__name__} into metadata.annotations[{key}]")


@cache
def _model(api_version: str, kind: str) -> type | None:
    version = api_version.rpartition("/")[2]
    name = "CoreV1Event" if (api_version, kind) == ("v1", "Event") else f"{version.capitalize()}{kind}"
    known = not api_version.startswith(("gateway.networking.k8s.io/", "networking.gke.io/", "cloud.google.com/"))
    return getattr(kubernetes.client, name, None) if known else None


def _walk(value: Any, kind_of: Any, path: str, kind: str, name: str) -> Iterator[str]:
    if value is None:
        return
    if isinstance(kind_of, type):
        yield from _walk_model(value, kind_of, path, kind, name)
    elif kind_of.startswith("list["):
        _expect(value, list, path, "array")
        for n, item in enumerate(value):
            yield from _walk(item, _type(kind_of[5:-1]), f"{path}[{n}]", kind, name)
    elif kind_of.startswith("dict("):
        _expect(value, dict, path, "map")
        for key, item in value.items():
            quantity = path.rpartition(".")[2] in QUANTITIES
            yield from () if quantity else _walk(item, _type(kind_of[10:-1]), f"{path}.{key}", kind, name)
    elif kind_of in ("str", "int", "bool") and path.rpartition(".")[2] not in QUANTITIES:
        _expect(value, {"str": str, "int": int, "bool": bool}[kind_of], path, kind_of)


def _walk_model(value: Any, model: Any, path: str, kind: str, name: str) -> Iterator[str]:
    _expect(value, dict, path, model.__name__)
    types = {json: (python, model.openapi_types[python]) for python, json in model.attribute_map.items()}
    given = {types[key][0]: item for key, item in value.items() if key in types}
    try:
        model(**given, local_vars_configuration=_CONFIGURATION)
    except ValueError as error:
        missing = re.search(r"`(\w+)`", str(error))
        field = model.attribute_map.get(missing[1], missing[1]) if missing else "?"
        raise invalid(kind, name, f"{path}.{field}".strip("."), "Required value") from error
    for key, item in value.items():
        where = f"{path}.{key}".strip(".")
        if key in types:
            yield from _walk(item, _type(types[key][1]), where, kind, name)
        else:
            yield f'unknown field "{where}"'


def _pruned(value: Any, kind_of: Any) -> Any:
    if isinstance(kind_of, type) and isinstance(value, dict):
        model: Any = kind_of
        types = {json: model.openapi_types[python] for python, json in model.attribute_map.items()}
        return {key: _pruned(item, _type(types[key])) for key, item in value.items() if key in types}
    if isinstance(kind_of, str) and kind_of.startswith("list[") and isinstance(value, list):
        return [_pruned(item, _type(kind_of[5:-1])) for item in value]
    return value


def _type(name: str) -> Any:
    return getattr(kubernetes.client, name, name)


def _expect(value: Any, wanted: type, path: str, name: str) -> None:
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        got = {"str": "string", "int": "number", "bool": "bool", "dict": "object", "list": "array"}
        told = got.get(type(value).__name__, type(value).__name__)
        raise bad_request(f"json: cannot unmarshal {told} into Go struct field {path} of type {name}")
