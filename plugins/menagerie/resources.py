"""What each step's pod gets: one table, overridden by MENAGERIE_PODS and, for one run, by the Param `pods`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import menagerie_contract as contract

HOUR = 3600
MAY_BE_SPOT = ("predict", "train")  # a predict is short and one of many; train goes on from its checkpoint
_CPU = re.compile(r"(\d+(?:\.\d+)?)|(\d+)m")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)(?:([kMGTPE])|([KMGTPE])i)?")
_LEAST_BYTES = 1 << 20  # fewer are a unit that was forgotten
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_TOLERATION = ("key", "operator", "value", "effect", "tolerationSeconds")
_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


class ResourcesError(ValueError):
    """An override that cannot be; the text names the key and what to set."""


@dataclass(frozen=True)
class Resources:
    """Of one step's pod. Quantities are Kubernetes's own: `500m`, `4`, `16Gi`."""

    cpu: str  # requested; not limited, so that idle cores of the node are used
    memory: str  # requested and limited: above it the kernel kills the step
    storage: str  # ephemeral, requested and limited: /tmp and the log
    deadline: int  # seconds the step may run; the table's own also bounds the task of a local step
    gpus: int = 0
    gpu_type: str = "nvidia-l4"  # node label cloud.google.com/gke-accelerator, when there are gpus; empty: any node
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    priority: str = ""  # name of a PriorityClass; empty: the cluster's default
    service_account: str = "menagerie-step"
    spot: bool = False  # on a Spot node: cheaper, and may be taken away at any moment


Table = Mapping[str, Resources]

# Within what GKE Autopilot gives a general-purpose pod: 1 to 6.5 GiB of memory per CPU, up to 10 GiB of storage.
TABLE: Table = {
    "plan": Resources(cpu="500m", memory="1Gi", storage="5Gi", deadline=2 * HOUR),
    # Of storage: a range's packed pictures, until their shards are written.
    "sort": Resources(cpu="2", memory="4Gi", storage="10Gi", deadline=6 * HOUR),
    "predict": Resources(cpu="2", memory="4Gi", storage="5Gi", deadline=2 * HOUR),
    "evaluate": Resources(cpu="1", memory="4Gi", storage="2Gi", deadline=2 * HOUR),
    # Of storage: a batch's shards, once as DVC has fetched them and once on their way to its remote.
    "snapshot": Resources(cpu="1", memory="4Gi", storage="10Gi", deadline=2 * HOUR),
    "train": Resources(cpu="4", memory="16Gi", storage="10Gi", deadline=12 * HOUR),
    "judge": Resources(cpu="2", memory="4Gi", storage="5Gi", deadline=2 * HOUR),
    # As judge: when another model became the champion meanwhile, it judges anew.
    "promote": Resources(cpu="2", memory="4Gi", storage="5Gi", deadline=2 * HOUR),
    "deploy": Resources(cpu="500m", memory="1Gi", storage="1Gi", deadline=3 * HOUR, service_account="menagerie-deploy"),
    "doctor": Resources(cpu="500m", memory="1Gi", storage="1Gi", deadline=HOUR // 2),
}


def row(step: contract.Step) -> str:
    """Whose row of the table the step's pod goes by: a doctor that looks at a cluster does so in deploy's place."""
    return "deploy" if isinstance(step, contract.Doctor) and step.namespace else step.name


def override(
    table: Table, changes: object, source: str, *, only_by_settings: Collection[str] = ()
) -> dict[str, Resources]:
    """The table with `changes` (`{"train": {"cpu": "8"}}`) laid over it. Raises ResourcesError naming `source` and key.

    `only_by_settings`: keys that this source may not change.
    """
    if not isinstance(changes, Mapping):
        raise ResourcesError(f'{source} is {changes!r}; set it to an object such as {{"train": {{"cpu": "8"}}}}')
    result = dict(table)
    for step, values in changes.items():
        if step not in table:
            raise ResourcesError(f"{source} names a step {step!r}; the steps are {', '.join(table)}")
        if not isinstance(values, Mapping):
            raise ResourcesError(f'{source}.{step} is {values!r}; set it to an object such as {{"cpu": "8"}}')
        for key in set(values) & set(only_by_settings):
            raise ResourcesError(f"{source}.{step}.{key} cannot be set for one run; MENAGERIE_PODS sets it")
        result[step] = dataclasses.replace(table[step], **_checked(values, f"{source}.{step}"))
        if result[step].spot and step not in MAY_BE_SPOT:
            raise ResourcesError(
                f"{source}.{step}.spot is true; only {' and '.join(MAY_BE_SPOT)} may run on Spot nodes"
            )
    return result


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    checked = {}
    for key, value in values.items():
        if key not in _CHECKS:
            raise ResourcesError(f"{where} has a key {key!r}; the keys are {', '.join(_CHECKS)}")
        read, wanted = _CHECKS[key]
        try:
            checked[key] = read(value)
        except (TypeError, ValueError, KeyError):
            raise ResourcesError(f"{where}.{key} is {value!r}; set it to {wanted}") from None
    return checked


def _cpu(value: object) -> str:
    found = _CPU.fullmatch(text := str(value))
    if isinstance(value, bool) or not found or float(found[1] or int(found[2]) / 1000) < 0.001:
        raise ValueError
    return text


def _bytes(value: object) -> str:
    found = _BYTES.fullmatch(text := str(value))
    if isinstance(value, bool) or not found:
        raise ValueError
    number, decimal, binary = found.groups()
    unit = 1024 ** (1 + "KMGTPE".index(binary)) if binary else 1000 ** (1 + "kMGTPE".index(decimal)) if decimal else 1
    if float(number) * unit < _LEAST_BYTES:
        raise ValueError
    return text


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return read


def _name(value: object) -> str:
    if not isinstance(value, str) or (value and not _NAME.fullmatch(value)):
        raise ValueError
    return value


def _account(value: object) -> str:
    if not (name := _name(value)):
        raise ValueError
    return name


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(_is_key(key) and _is_value(text) for key, text in value.items()):
        raise ValueError
    return dict(value)


def _is_key(key: object) -> bool:
    """A label's or a taint's: `<name>` or `<domain>/<name>`."""
    domain, slash, name = key.rpartition("/") if isinstance(key, str) else ("", "", "")
    return bool(_LABEL.fullmatch(name)) and (not slash or bool(_NAME.fullmatch(domain)))


def _is_value(value: object) -> bool:
    return isinstance(value, str) and (not value or bool(_LABEL.fullmatch(value)))


def _tolerations(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(one, Mapping) and _is_toleration(one) for one in value):
        raise ValueError
    return tuple(dict(one) for one in value)


def _is_toleration(one: Mapping[str, Any]) -> bool:
    """As Kubernetes wants it: without a key it is of every taint, which has to be said by `Exists`."""
    key, exists, effect = one.get("key", ""), one.get("operator") == "Exists", one.get("effect", "")
    return (
        set(one) <= set(_TOLERATION)
        and one.get("operator", "Equal") in ("Equal", "Exists")
        and (_is_key(key) if key else exists)
        and (not one.get("value") if exists else _is_value(one.get("value", "")))
        and effect in _EFFECTS
        and ("tolerationSeconds" not in one or (effect == "NoExecute" and type(one["tolerationSeconds"]) is int))
    )


_CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "cpu": (_cpu, "CPUs, such as 500m or 8"),
    "memory": (_bytes, "memory, such as 16Gi"),
    "storage": (_bytes, "ephemeral storage, such as 10Gi"),
    "deadline": (_whole(60, 14 * 24 * HOUR), "whole seconds, from 60 to two weeks"),
    "gpus": (_whole(0, 16), "a number of GPUs, from 0 to 16"),
    "gpu_type": (_name, "a GPU type such as nvidia-l4, or an empty text for any node"),
    "node_selector": (_labels, "an object of node labels"),
    "tolerations": (
        _tolerations,
        f"a list of Kubernetes's tolerations: objects with the keys {', '.join(_TOLERATION)}",
    ),
    "priority": (_name, "the name of a PriorityClass, or an empty text"),
    "service_account": (_account, "the name of a Kubernetes service account"),
    "spot": (_flag, "true or false"),
}
