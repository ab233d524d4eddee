"""What deploy removes: only what carries its label and its field manager, never what somebody else made."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import menagerie_contract as contract

from model_service.deploy import manifests
from model_service.deploy.cluster import MANAGER, Cluster
from model_service.deploy.revisions import release

KEEP = timedelta(hours=1)  # a ConfigMap that no ReplicaSet names yet may be another deployment's, on its way

Object = dict[str, Any]
log = logging.getLogger(__name__)


def is_ours(thing: Object) -> bool:
    """Whether it carries the website's labels and was written by deploy's field manager."""
    meta = thing["metadata"]
    managers = {m.get("manager") for m in meta.get("managedFields", [])}
    return manifests.LABELS.items() <= (meta.get("labels") or {}).items() and MANAGER in managers


def unreferenced(maps: list[Object], users: list[Object], now: datetime) -> list[str]:
    """Names of the site documents, older than KEEP, that no Deployment or ReplicaSet names. Pure."""
    used = {release(user).document for user in users}
    return [
        m["metadata"]["name"]
        for m in maps
        if is_ours(m)
        and m["metadata"]["name"].startswith(f"{manifests.SITE}-")
        and m["metadata"]["name"] not in used
        and now - datetime.fromisoformat(m["metadata"]["creationTimestamp"]) > KEEP
    ]


def prune(cluster: Cluster) -> None:
    """Remove site documents of ReplicaSets that are gone."""
    maps = cluster.list("ConfigMap", manifests.LABELS)
    users = [d for name in (contract.WEBSITE, manifests.CANARY) if (d := cluster.get("Deployment", name))]
    users += cluster.list("ReplicaSet", manifests.LABELS)
    for name in unreferenced(maps, users, datetime.now(UTC)):
        if cluster.delete("ConfigMap", name):
            log.info("removed ConfigMap %s: nothing refers to it any more", name)


def remove(cluster: Cluster, kind: str, name: str) -> str:
    """What became of it, in words; empty when there is no such thing."""
    thing = cluster.get(kind, name)
    if thing is None:
        return ""
    if not is_ours(thing):
        return f"left alone: {kind} {name}, which deploy did not make"
    cluster.delete(kind, name)
    return f"removed: {kind} {name}"


def hide(cluster: Cluster, wanted: list[Object]) -> None:
    """Remove what makes the website public in a way that is no longer wanted."""
    kinds = {thing["kind"] for thing in wanted}
    for thing in manifests.public():
        if thing["kind"] not in kinds and (done := remove(cluster, thing["kind"], thing["metadata"]["name"])):
            log.info("%s", done)


def teardown(cluster: Cluster) -> list[str]:
    """Remove the website; a line a thing. What leads to it goes first, so that nobody is sent to a pod that ends."""
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in manifests.public()]
    names += [(kind, contract.WEBSITE) for kind in ("Service", "HorizontalPodAutoscaler")]
    names += [("Deployment", name) for name in (manifests.CANARY, contract.WEBSITE)]
    names += [(kind, contract.WEBSITE) for kind in ("PodDisruptionBudget", "NetworkPolicy", "ServiceAccount")]
    names += [("ConfigMap", m["metadata"]["name"]) for m in cluster.list("ConfigMap", manifests.LABELS)]
    return [line for kind, name in names if (line := remove(cluster, kind, name))]
