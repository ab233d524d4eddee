"""Label and field selectors, as the API's `labelSelector` and `fieldSelector` parameters have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.support.k8s.errors import Json, bad_request

Test = Callable[[Json], bool]
FIELDS = {
    "pods": {
        "metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
        "spec.serviceAccountName", "status.phase", "status.podIP",
    },
    "events": {
        "metadata.name", "metadata.namespace", "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
        "involvedObject.uid", "involvedObject.apiVersion", "reason", "type", "reportingComponent", "source",
    },
}  # fmt: skip
_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>\S*)$")
_EXISTS = re.compile(r"^(?P<no>!?)\s*(?P<key>[^=!\s(),]+)$")


def labels(text: str) -> Test:
    """A test of an object's labels. Raises a refusal (400) when the text is no selector."""
    tests = [_requirement(part) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda thing: all(test(thing["metadata"].get("labels") or {}) for test in tests)


def fields(text: str, plural: str) -> Test:
    """A test of the few fields that may be selected by. Raises a refusal (400) for any other."""
    wanted = []
    for part in filter(None, text.split(",")):
        found = _EQUAL.match(part.strip())
        if not found or found["key"] not in FIELDS.get(plural, {"metadata.name", "metadata.namespace"}):
            raise bad_request(f'field label not supported: "{part}"')
        wanted.append((found["key"], found["op"] != "!=", found["value"]))
    return lambda thing: all((_at(thing, key) == value) is same for key, same, value in wanted)


def matches(selector: Json | None, wanted: Json) -> bool:
    """Whether labels meet a LabelSelector (matchLabels, matchExpressions); an absent one meets none."""
    if selector is None:
        return False
    for one in selector.get("matchExpressions") or []:
        has, value, operator = one["key"] in wanted, wanted.get(one["key"]), one["operator"]
        good = {
            "In": has and value in one.get("values", []),
            "NotIn": value not in one.get("values", []),
            "Exists": has,
            "DoesNotExist": not has,
        }[operator]
        if not good:
            return False
    return (selector.get("matchLabels") or {}).items() <= wanted.items()


def _requirement(part: str) -> Callable[[dict[str, str]], bool]:
    part = part.strip()
    if found := _SET.match(part):
        key, values = found["key"], {v.strip() for v in found["values"].split(",")}
        if found["op"] == "in":
            return lambda has: has.get(key) in values
        return lambda has: has.get(key) not in values
    if found := _EQUAL.match(part):
        key, value, same = found["key"], found["value"], found["op"] != "!="
        return lambda has: (has.get(key) == value) is same
    if found := _EXISTS.match(part):
        key, present = found["key"], not found["no"]
        return lambda has: (key in has) is present
    raise bad_request(f"unable to parse requirement: {part!r}")


def _at(thing: Any, path: str) -> str:
    for name in path.split("."):
        thing = (thing or {}).get(name)
    return "" if thing is None else str(thing)
