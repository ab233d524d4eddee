"""The controller of Deployments: a ReplicaSet for each pod template, rolled over as rollout.py decides."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from tests.support.k8s import events, garbage, rollout, scales
from tests.support.k8s.errors import Json
from tests.support.k8s.faults import HASH
from tests.support.k8s.replicasets import ReplicaSets
from tests.support.k8s.store import Key, Store
from tests.support.k8s.verbs import Verbs

COPIED_NOT = {"kubectl.kubernetes.io/last-applied-configuration", rollout.REVISION}
OFTEN = 0.25  # seconds between two looks at what changes with time only: deadlines, minReadySeconds


class Deployments:
    def __init__(self, store: Store, verbs: Verbs) -> None:
        self._store = store
        self._replica_sets = ReplicaSets(store, verbs)

    async def run(self) -> None:
        with self._store.watching() as news:
            while True:
                news.clear()
                scales.keep_bounds(self._store)
                for replica_set in self._store.all("replicasets"):
                    self._replica_sets.reconcile(replica_set)
                for deployment in self._store.all("deployments"):
                    if not deployment["metadata"].get("deletionTimestamp"):
                        self._reconcile(deployment)
                try:
                    async with asyncio.timeout(OFTEN):
                        await news.wait()
                except TimeoutError:
                    continue

    def _reconcile(self, deployment: Json) -> None:
        mine = self._mine(deployment)
        template = rollout.bare(deployment["spec"]["template"])
        new = next((one for one in mine if rollout.bare(one["spec"]["template"]) == template), None)
        if deployment["spec"].get("paused"):
            return
        created = new is None
        if new is None:
            new = self._create(deployment, mine)
        old = [one for one in mine if one["metadata"]["uid"] != new["metadata"]["uid"]]
        self._number(deployment, new, old)
        for name, replicas in rollout.plan(deployment, new, old).items():
            self._scale(deployment, name, replicas)
        mine = self._mine(deployment)
        new = next(one for one in mine if one["metadata"]["uid"] == new["metadata"]["uid"])
        old = [one for one in mine if one is not new]
        state = rollout.status(self._store.get(_key(deployment)), new, old, created=created)
        self._store.edit(_key(deployment), lambda d: d.update(status=state))
        self._forget(deployment, old)

    def _mine(self, deployment: Json) -> list[Json]:
        """Its ReplicaSets, the oldest revision first."""
        uid = deployment["metadata"]["uid"]
        found = self._store.all("replicasets", deployment["metadata"]["namespace"])
        owned = [one for one in found if any(o["uid"] == uid for o in one["metadata"].get("ownerReferences") or [])]
        return sorted((o for o in owned if not o["metadata"].get("deletionTimestamp")), key=rollout.revision)

    def _create(self, deployment: Json, others: list[Json]) -> Json:
        template = copy.deepcopy(deployment["spec"]["template"])
        mark = {HASH: rollout.template_hash(template)}
        template["metadata"]["labels"] |= mark
        meta = deployment["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
        selector = copy.deepcopy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {}).update(mark)
        replica_set = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta['name']}-{mark[HASH]}",
                "namespace": meta["namespace"],
                "labels": dict(template["metadata"]["labels"]),
                "annotations": _annotations(deployment),
                "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
                "generation": 1,
            },
            "spec": {
                "replicas": 0,
                "selector": selector,
                "template": template,
                **{k: v for k, v in deployment["spec"].items() if k == "minReadySeconds"},
            },
            "status": {"replicas": 0},
        }
        return self._store.create(_key(replica_set), replica_set)

    def _number(self, deployment: Json, new: Json, old: list[Json]) -> None:
        """Give the present template the highest revision, also when it is a former one come back."""
        latest = max((rollout.revision(one) for one in old), default=0)
        number = rollout.revision(new)
        if number <= latest:
            number = latest + 1

        def mark(thing: Any) -> None:
            thing["metadata"].setdefault("annotations", {})[rollout.REVISION] = str(number)

        def describe(replica_set: Any) -> None:
            replica_set["metadata"]["annotations"] |= _annotations(deployment)
            mark(replica_set)

        self._store.edit(_key(new), describe)
        self._store.edit(_key(deployment), mark)

    def _scale(self, deployment: Json, name: str, replicas: int) -> None:
        key = ("replicasets", deployment["metadata"]["namespace"], name)
        before = self._store.get(key)["spec"]["replicas"]

        def scale(replica_set: Any) -> None:
            replica_set["spec"]["replicas"] = replicas
            replica_set["metadata"]["generation"] += 1

        self._store.edit(key, scale)
        way = "up" if replicas > before else "down"
        message = f"Scaled {way} replica set {name} from {before} to {replicas}"
        events.record(self._store, deployment, "Normal", "ScalingReplicaSet", message, "deployment-controller")
        self._replica_sets.reconcile(self._store.get(key))

    def _forget(self, deployment: Json, old: list[Json]) -> None:
        idle = [one for one in old if not one["spec"]["replicas"] and not one.get("status", {}).get("replicas")]
        for one in idle[: max(0, len(idle) - deployment["spec"]["revisionHistoryLimit"])]:
            garbage.delete(self._store, _key(one))


def _annotations(deployment: Json) -> dict[str, str]:
    given = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in given.items() if key not in COPIED_NOT}


def _key(thing: Json) -> Key:
    return (f"{thing['kind'].lower()}s", thing["metadata"]["namespace"], thing["metadata"]["name"])
