"""A Deployment and its ReplicaSets: which one is in use, which was proved, and what going back to another one applies. Pure.

Deploy notes on the Deployment which ReplicaSets passed the self test, the latest first. So a model that never did is not
gone back to, and a deployment that was killed half-way is told from one that was done. The note is empty from the first on,
so that a Deployment that deploy made and never proved is told from one that somebody else made.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model_service.deploy.manifests import LABELS, SITE

PROVED = "menagerie.dev/proved"  # annotation: names of ReplicaSets
REVISION = "deployment.kubernetes.io/revision"  # annotation, the Deployment controller's
HASH = "pod-template-hash"  # label, the Deployment controller's

Object = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """What makes one ReplicaSet serve something else than another: the site document's ConfigMap, and the image."""

    document: str
    image: str


@dataclass(frozen=True)
class Revisions:
    """A Deployment, None when there is none, and the ReplicaSets it owns."""

    deployment: Object | None = None
    replicasets: list[Object] = field(default_factory=list)

    @property
    def current(self) -> Object | None:
        """The ReplicaSet of the Deployment's template; None until the controller has made it."""
        if self.deployment is None or not observed(self.deployment):
            return None
        revision = _revision(self.deployment)
        return next((r for r in self.replicasets if revision and _revision(r) == revision), None)

    @property
    def noted(self) -> list[str] | None:
        """The note: names of ReplicaSets that passed the self test, the latest first; None when deploy never wrote one."""
        note = _annotations(self.deployment or {}).get(PROVED)
        return None if note is None else note.split()

    @property
    def proved(self) -> list[str]:
        """Those of the note that are still there."""
        return [name for name in self.noted or [] if any(name == r["metadata"]["name"] for r in self.replicasets)]

    @property
    def is_proved(self) -> bool:
        """Whether what is in use now passed the self test: also after a restart, which makes other pods of the same spec."""
        last = [r for r in self.replicasets if r["metadata"]["name"] in self.proved[:1]]
        return self.current is not None and any(_pod(self.current) == _pod(r) for r in last)

    def back(self, skip: Callable[[Object], bool] = lambda _: False) -> Object | None:
        """The ReplicaSet to go back to: the last proved one, or the newest when deploy never noted anything here."""
        others = [r for r in self.replicasets if r is not self.current and not skip(r)]
        if self.noted is not None:
            known = {r["metadata"]["name"]: r for r in others}
            return next((known[name] for name in self.proved if name in known), None)
        return max(others, key=_revision, default=None)


def revisions(deployment: Object | None, replicasets: list[Object]) -> Revisions:
    uid = deployment["metadata"]["uid"] if deployment else None
    owned = [r for r in replicasets if any(o["uid"] == uid for o in r["metadata"].get("ownerReferences", []))]
    return Revisions(deployment, owned)


def observed(deployment: Object) -> bool:
    """Whether the controller has seen the Deployment as it is now; until then its status is of another one."""
    seen: int = deployment.get("status", {}).get("observedGeneration", 0)
    return seen >= int(deployment["metadata"].get("generation", 0))


def release(thing: Object) -> Release:
    """Of a Deployment or ReplicaSet."""
    pod = _pod(thing)
    maps = (v.get("configMap", {}).get("name", "") for v in pod.get("volumes", []))
    return Release(next((m for m in maps if m.startswith(SITE)), ""), pod["containers"][0].get("image", ""))


def noting(deployment: Object, proved: list[str] | None) -> Object:
    """That configuration of a Deployment, with the note of what was proved; None: without a note."""
    noted = copy.deepcopy(deployment)
    if proved is not None:
        noted["metadata"].setdefault("annotations", {})[PROVED] = " ".join(proved)
    return noted


def going_back(deployment: Object, replicaset: Object, proved: list[str] | None) -> Object:
    """The configuration to apply so that the live Deployment has a former ReplicaSet's template, as `rollout undo` does.

    Applied by the field manager that applies the manifests, it is the same owner's next word; a patch would make another
    owner, with whom the next deployment conflicts. `replicas` stays with the autoscaler.
    """
    template = copy.deepcopy(replicaset["spec"]["template"])
    template["metadata"] = {k: v for k, v in template["metadata"].items() if k in ("labels", "annotations")}
    template["metadata"]["labels"].pop(HASH, None)
    live = deployment["metadata"]
    config = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": live["name"], "namespace": live["namespace"], "labels": dict(LABELS)},
        "spec": {k: v for k, v in deployment["spec"].items() if k != "replicas"} | {"template": template},
    }
    return noting(config, proved)


def name_of(thing: Object | None) -> str:
    """Empty when there is none."""
    return str(thing["metadata"]["name"]) if thing else ""


def _pod(thing: Object) -> Object:
    spec: Object = thing["spec"]["template"]["spec"]
    return spec


def _revision(thing: Object) -> int:
    return int(_annotations(thing).get(REVISION, 0))


def _annotations(thing: Object) -> dict[str, str]:
    found: dict[str, str] = thing.get("metadata", {}).get("annotations") or {}
    return found
