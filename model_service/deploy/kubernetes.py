"""The website on Kubernetes: apply, roll out, prove through the Service, or go back to what was proved before."""

from __future__ import annotations

import re
import time
from typing import Any

import menagerie_contract as contract

from model_service import registry, selftest
from model_service.deploy import canary, manifests, removal, rollout, smoke
from model_service.deploy.cluster import Cluster
from model_service.deploy.documents import next_site, served_before, sites
from model_service.deploy.revisions import Release, Revisions, name_of, noting, release
from model_service.deploy.rollout import Superseded
from model_service.deploy.swap import swap
from model_service.deploy.undo import undo
from model_service.deploy.website import Website
from model_service.errors import StepError
from model_service.results import Outcome
from model_service.selftest import Question

_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")

Object = dict[str, Any]


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
    withdrawn = (registry.withdrawn(step.models) or {}).get("version")
    previous = served_before(step.model, there, known)
    site = next_site(step.model, previous, known.values())
    values = manifests.Values(
        namespace=step.namespace,
        image=step.image,
        models=step.models,
        site=site,
        replicas=step.replicas,
        max_replicas=step.max_replicas,
        host=step.host,
        expose=step.expose,
        predicted=step.predicted,
    )
    objects = manifests.render(values)
    deployment = _deployment(objects)
    ours = release(deployment)
    for thing in objects:  # what the cluster forbids or somebody else owns comes to light before anything is changed
        cluster.apply(thing, dry_run=True)
    canary.remove(cluster)  # an earlier attempt may have been killed
    try:
        if step.canary_percent and there.is_proved and there.deployment and release(there.deployment) != ours:
            cluster.apply(objects[0])
            with canary.beside(cluster, step, deployment, there.deployment):
                canary.watch(cluster, step, website, ours, questions)
                _roll_out(cluster, step, objects, there)
        else:
            _roll_out(cluster, step, objects, there)
        pods = rollout.pods_of(cluster, rollout.look(cluster, contract.WEBSITE).current)
        slowest = smoke.prove(website, step, questions, len(pods))
    except Superseded:
        raise
    except Exception as error:  # also what nobody thought of: the website must not stay half-way
        raise undo(cluster, step, ours, there, withdrawn, error) from error
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


def _roll_out(cluster: Cluster, step: contract.Deploy, objects: list[Object], there: Revisions) -> None:
    """Apply everything and wait, if the Deployment still is as it was seen. Raises Failed, Superseded."""
    cluster.until = time.monotonic() + step.timeout
    deployment = _deployment(objects)
    noted = noting(deployment, there.noted if there.deployment else [])
    for thing in objects:
        if thing is deployment:
            swap(cluster, release(there.deployment) if there.deployment else None, lambda _: noted)
        else:
            cluster.apply(thing)
    rollout.wait(cluster, contract.WEBSITE, release(deployment), cluster.until)


def _deployment(objects: list[Object]) -> Object:
    return next(thing for thing in objects if thing["kind"] == "Deployment")


def _note(cluster: Cluster, deployment: Object, ours: Release) -> None:
    """Note on the Deployment that what it serves now passed the self test."""
    there = rollout.look(cluster, contract.WEBSITE)
    name = name_of(there.current)
    if name and name not in there.proved[:1]:
        proved = [name, *(other for other in there.proved if other != name)]
        swap(cluster, ours, lambda _: noting(deployment, proved))
