"""The site documents on the cluster: which ConfigMap names which model, and which document a deployment makes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from model_service.deploy import manifests
from model_service.deploy.cluster import Cluster
from model_service.deploy.revisions import Revisions, release
from model_service.site import Site

Object = dict[str, Any]


def sites(cluster: Cluster) -> dict[str, Site]:
    """The site documents in the namespace, by the name of their ConfigMap; the newest first."""
    maps = [m for m in cluster.list("ConfigMap", manifests.LABELS) if m["metadata"]["name"].startswith(manifests.SITE)]
    maps.sort(key=lambda m: str(m["metadata"]["creationTimestamp"]), reverse=True)
    return {m["metadata"]["name"]: Site(**json.loads(m["data"][manifests.DOCUMENT])) for m in maps}


def next_site(model: str, before: str | None, known: Iterable[Site]) -> Site:
    """The document that names the model: the one there is already, so that the same again is no new ReplicaSet. Pure."""
    again = next((site for site in known if site.version == model), None)
    return again or Site(model, before)


def served_before(model: str, there: Revisions, known: dict[str, Site]) -> str | None:
    """The version proved last, or else served now, if that is another one than the model; else the one before it. Pure."""
    names = {r["metadata"]["name"]: r for r in there.replicasets}
    things = [*(names[name] for name in there.proved[:1]), *([there.deployment] if there.deployment else [])]
    site = next((known[d] for thing in things if (d := release(thing).document) in known), None)
    if site is None:
        return None
    return site.version if site.version != model else site.previous


def model_of(thing: Object, known: dict[str, Site]) -> str:
    """The version that a Deployment or ReplicaSet serves, in words."""
    site = known.get(release(thing).document)
    return f"model {site.version}" if site else "an unknown model"
