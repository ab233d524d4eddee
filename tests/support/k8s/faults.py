"""Misfortunes a test can order for pods to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.k8s.errors import Json

HASH = "pod-template-hash"
BEFORE = {"unschedulable", "image-pull"}  # the container never starts
INSTEAD = {"hang", "crash"}  # something else runs in its place
DURING = {"oom", "evict", "preempt", "vanish"}  # at a moment of its life
KINDS = BEFORE | INSTEAD | DURING | {"unready", "cut-log"}


@dataclass
class Fault:
    """`kind` as in KINDS, for the next `times` pods with these labels, or with `new_template` for every pod of the next
    pod template (of a Deployment) that does not exist yet.

    DURING faults strike `after` seconds from the container's start, or as soon as it has written `at_line`; cut-log
    breaks one reader's connection after `after` lines.
    """

    kind: str
    labels: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after: float = 0.0
    at_line: str = ""
    message: str = ""
    new_template: bool = False
    hits: list[str] = field(default_factory=list)  # names of the pods it struck
    known: frozenset[str] = frozenset()  # template hashes from before it was ordered
    template: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}: one of {', '.join(sorted(KINDS))}")

    def takes(self, pod: Json) -> bool:
        labels = pod["metadata"].get("labels") or {}
        if not self.labels.items() <= labels.items():
            return False
        if self.new_template:
            mine = labels.get(HASH, "")
            if mine in self.known or (self.template and mine != self.template):
                return False
            self.template = mine
        elif len(self.hits) >= self.times:
            return False
        self.hits.append(pod["metadata"]["name"])
        return True


class Faults:
    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def order(self, fault: Fault) -> Fault:
        self._ordered.append(fault)
        return fault

    def take(self, pod: Json) -> dict[str, Fault]:
        """What befalls a new pod: at most one fault of a kind, the one ordered first."""
        found: dict[str, Fault] = {}
        for fault in self._ordered:
            if fault.kind not in found and fault.takes(pod):
                found[fault.kind] = fault
        return found

    def cancel(self, fault: Fault) -> None:
        self._ordered.remove(fault)
