"""The site documents on the cluster: which ConfigMap names which model, and which document a deployment makes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from model_service.deploy import manifests
from model_service.deploy.cluster import Cluster
from model_service.deploy.revisions import Revisions, release
from model_service.site import BadSite, Site, parse

Object = dict[str, Any]
log = logging.getLogger(__name__)


def sites(cluster: Cluster) -> dict[str, Site]:
    """The site documents in the namespace, by the name of their ConfigMap; the newest first."""
    return readable(cluster.list("ConfigMap", manifests.LABELS))


def readable(maps: list[Object]) -> dict[str, Site]:
    """Those of the ConfigMaps that are site documents, whoever applied them.

    One that cannot be read is passed over with a warning: that nobody knows its model is no reason to deploy no other.
    """
    found = {}
    for one in sorted(maps, key=lambda m: str(m["metadata"]["creationTimestamp"]), reverse=True):
        name = one["metadata"]["name"]
        if not name.startswith(manifests.SITE):
            continue
        try:
            found[name] = parse(f"ConfigMap {name}", (one.get("data") or {}).get(manifests.DOCUMENT, ""))
        except BadSite as error:
            log.warning("passed over: %s", error)
    return found


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


def version_of(thing: Object | None, known: dict[str, Site]) -> str | None:
    """The version that a Deployment or ReplicaSet serves; None when nothing says so. Pure."""
    site = known.get(release(thing).document) if thing else None
    return site.version if site else None


def model_of(thing: Object, known: dict[str, Site]) -> str:
    """The version that a Deployment or ReplicaSet serves, in words."""
    version = version_of(thing, known)
    return f"model {version}" if version else "an unknown model"


def model_before(there: Revisions, known: dict[str, Site], withdrawn: str | None) -> Object | None:
    """The ReplicaSet an operator goes back to: of another model than is served, and not of a withdrawn one. Pure.

    A restart or another image makes ReplicaSets of the same model, and going back to one of these changes nothing.
    """

    def model(thing: Object | None) -> str | None:
        return version_of(thing, known) or (release(thing).document if thing else None)

    now = model(there.deployment)
    return there.back(lambda replicaset: model(replicaset) in (now, withdrawn))
