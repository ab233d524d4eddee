"""The website on Kubernetes: apply, roll out, prove through the Service, or go back to what was proved before."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterable
from typing import Any

import menagerie_contract as contract

from model_service import registry, selftest
from model_service.deploy import canary, manifests, removal, rollout, smoke
from model_service.deploy.cluster import Cluster
from model_service.deploy.evidence import evidence
from model_service.deploy.revisions import Release, Revisions, noting, release
from model_service.deploy.rollout import Superseded
from model_service.deploy.swap import go_back, swap
from model_service.deploy.website import Website
from model_service.errors import StepError
from model_service.results import Outcome
from model_service.selftest import Question
from model_service.site import Site

_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_REMEDY = "The website serves what it served before. Look at the pods' events and log lines above, then train again."

Object = dict[str, Any]
log = logging.getLogger(__name__)


def deploy_kubernetes(step: contract.Deploy) -> Outcome:
    """An attempt that was killed is carried on by the next one: all that is known is in the cluster.

    The canary's minutes come on top of `timeout`, which the way back has once more.
    """
    check(step)
    questions = selftest.load(step.models, step.model)
    with Cluster(step.namespace, time.monotonic() + step.timeout) as cluster:
        return _deploy(cluster, step, questions)


def _deploy(cluster: Cluster, step: contract.Deploy, questions: list[Question]) -> Outcome:
    begun = time.monotonic()
    website = Website(address(step.url, step.namespace))
    there = rollout.look(cluster, contract.WEBSITE)
    known = sites(cluster)
    previous = served_before(step.model, there, known)
    site = next_site(step.model, previous, known.values())
    values = manifests.Values(
        step.namespace, step.image, step.models, site, step.replicas, step.max_replicas, step.host, step.expose
    )
    objects = manifests.render(values)
    deployment = next(thing for thing in objects if thing["kind"] == "Deployment")
    ours = release(deployment)
    for thing in objects:  # what the cluster forbids or somebody else owns comes to light before anything is changed
        cluster.apply(thing, dry_run=True)
    canary.remove(cluster)  # an earlier attempt may have been killed
    try:
        if step.canary_percent and there.is_proved and there.deployment and release(there.deployment) != ours:
            cluster.apply(objects[0])
            with canary.beside(cluster, step, deployment, there.deployment):
                canary.watch(cluster, step, website, ours, questions)
                _roll_out(cluster, step, objects, there, ours)
        else:
            _roll_out(cluster, step, objects, there, ours)
        pods = rollout.pods_of(cluster, rollout.look(cluster, contract.WEBSITE).current)
        slowest = smoke.prove(website, step, questions, len(pods))
    except Superseded:
        raise
    except Exception as error:  # also what nobody thought of: the website must not stay half-way
        raise _undone(cluster, step, ours, error) from error
    _note(cluster, deployment, ours)
    removal.hide(cluster, objects)
    removal.prune(cluster)
    seconds = round(time.monotonic() - begun, 3)
    outputs = {"url": website.url, "version": step.model, "previous": previous, "seconds": seconds}
    counts = {"pods": len(pods), "p95_seconds": round(slowest, 3)}
    return Outcome(
        counts, outputs, f"{website.url} serves model {step.model} from {len(pods)} pods after {seconds:.1f} s"
    )


def check(step: contract.Deploy) -> None:
    """Raise StepError for arguments that no cluster could do anything with."""
    if not _BY_DIGEST.fullmatch(step.image):
        remedy = "Name it as <registry>/<name>@sha256:<64 hex digits>: a tag may be another image tomorrow."
        raise StepError(f"--image is {step.image!r}: not an image by digest", remedy=remedy)
    if step.max_replicas < step.replicas:
        remedy = "Raise --max-replicas, or lower --replicas."
        raise StepError(f"--max-replicas={step.max_replicas} is less than --replicas={step.replicas}", remedy=remedy)


def address(url: str, namespace: str) -> str:
    """Where the website answers: as told, else (also for the default, which is the local website's) at its Service."""
    return url if url not in ("", contract.Deploy.url) else f"http://{contract.WEBSITE}.{namespace}.svc.cluster.local"


def sites(cluster: Cluster) -> dict[str, Site]:
    """The site documents in the namespace, by the name of their ConfigMap; the newest first."""
    maps = [m for m in cluster.list("ConfigMap", manifests.LABELS) if manifests.DOCUMENT in m.get("data", {})]
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


def _roll_out(cluster: Cluster, step: contract.Deploy, objects: list[Object], there: Revisions, ours: Release) -> None:
    cluster.until = time.monotonic() + step.timeout
    seen = release(there.deployment) if there.deployment else None
    for thing in objects:
        if thing["kind"] == "Deployment":
            swap(cluster, seen, lambda _: noting(thing, there.proved))  # noqa: B023 - called at once
        else:
            cluster.apply(thing)
    rollout.wait(cluster, contract.WEBSITE, ours, cluster.until)


def _note(cluster: Cluster, deployment: Object, ours: Release) -> None:
    """Note on the Deployment that what it serves now passed the self test."""
    there = rollout.look(cluster, contract.WEBSITE)
    if there.current is not None and not there.is_proved:
        name = there.current["metadata"]["name"]
        proved = [name, *(other for other in there.proved if other != name)]
        swap(cluster, ours, lambda _: noting(deployment, proved))


def _undone(cluster: Cluster, step: contract.Deploy, ours: Release, error: Exception) -> Exception:
    """Go back, withdraw the champion, and say all of it in the error to raise. What was proved before is left in place."""
    log.error("%s", error)
    cluster.until = time.monotonic() + step.timeout
    try:
        there = rollout.look(cluster, contract.WEBSITE)
        told = ""
        if release(there.deployment) == ours if there.deployment else False:
            told = evidence(cluster, rollout.pods_of(cluster, there.current))
        if isinstance(error, canary.Aborted):
            done = "the website itself was not changed"
        elif there.deployment is None or release(there.deployment) != ours:
            return error  # nothing was changed yet
        elif there.is_proved:
            remedy = (
                "It was left as it is: this version passed its self test before, and nothing was changed. See its log."
            )
            return StepError(f"{error}\n{told}", remedy=remedy, retry=True)
        elif there.before is None:
            cluster.delete("Deployment", contract.WEBSITE)
            done = "its Deployment was removed: there was no website before it to go back to"
        else:
            go_back(cluster, there, there.before, there.proved, cluster.until)
            done = f"the website went back to {there.before['metadata']['name']}"
        removal.prune(cluster)
        if registry.withdraw(step.models, step.model, step.run, str(error)):
            done += f"; model {step.model} is no longer the champion"
    except StepError as second:
        remedy = "Clear deploy to carry on, or take the website back: python -m model_service deploy --rollback"
        return StepError(f"{error}\nGoing back failed too: {second}", remedy=remedy, retry=True)
    return StepError("\n".join(filter(None, [str(error), told, done])), remedy=_REMEDY)
