"""For operators: how the website is, back to the model before, or away with it."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any

import menagerie_contract as contract

from model_service import registry
from model_service.deploy import evidence, removal, rollout
from model_service.deploy.cluster import Cluster
from model_service.deploy.documents import model_of, sites
from model_service.deploy.kubernetes import address
from model_service.deploy.revisions import Revisions, release
from model_service.deploy.swap import go_back
from model_service.deploy.website import Website
from model_service.errors import StepError
from model_service.results import Outcome

Object = dict[str, Any]
log = logging.getLogger(__name__)


def operate(step: contract.Operate) -> Outcome:
    with Cluster(step.namespace, time.monotonic() + min(step.timeout, 60.0)) as cluster:
        if step.teardown:
            lines = removal.teardown(cluster) or [f"nothing of the website is in namespace {step.namespace}"]
            return _said("\n".join(lines))
        there = rollout.look(cluster, contract.WEBSITE)
        if there.deployment is None:
            remedy = "Deploy a model, or name another --namespace."
            raise StepError(f"there is no website in namespace {step.namespace}", remedy=remedy)
        return _rollback(cluster, step, there) if step.rollback else _said(status(cluster, step, there))


def status(cluster: Cluster, step: contract.Operate, there: Revisions) -> str:
    """What an operator wants to know first, as a table."""
    pods = rollout.pods_of(cluster, there.current)
    known = sites(cluster)
    scaler = cluster.get("HorizontalPodAutoscaler", contract.WEBSITE)
    url = address(step.url, step.namespace)
    answer = Website(url).ready()
    assert there.deployment is not None
    rows = [
        ("serves", f"{model_of(there.deployment, known)} ({'proved' if there.is_proved else 'not proved yet'})"),
        ("back to", model_of(there.before, known) if there.before else "nothing"),
        ("rollout", f"{rollout.judge(there.deployment, pods).line}{_condition(there.deployment)}"),
        ("scaling", _scaling(scaler)),
        ("url", f"{url}: {'serves ' + str(answer.body.get('model')) if answer.status == 200 else answer.why}"),
    ]
    table = [("POD", "READY", "RESTARTS", "AGE", "NODE"), *map(_pod, pods)]
    return "\n".join([*_columns(rows), "", *_columns(table)])


def _rollback(cluster: Cluster, step: contract.Operate, there: Revisions) -> Outcome:
    if there.before is None:
        raise StepError("there is nothing to go back to", remedy="Deploy the model you want: deploy --model=….")
    assert there.deployment is not None
    known = sites(cluster)
    site = known.get(release(there.deployment).document)
    cluster.until = time.monotonic() + step.timeout
    taken = there.current["metadata"]["name"] if there.current else ""
    go_back(cluster, there, there.before, [name for name in there.proved if name != taken], cluster.until)
    said = f"the website serves {model_of(there.before, known)} again"
    why = "an operator took it back"
    if step.models and site and registry.withdraw(step.models, site.version, "deploy --rollback", why):
        said += f"; model {site.version} is no longer the champion"
    return _said(said)


def _condition(deployment: Object) -> str:
    conditions = deployment.get("status", {}).get("conditions", [])
    progressing = next((c for c in conditions if c["type"] == "Progressing"), None)
    return f", {progressing.get('reason')} since {progressing.get('lastUpdateTime')}" if progressing else ""


def _scaling(scaler: Object | None) -> str:
    if scaler is None:
        return "no autoscaler"
    spec, now = scaler["spec"], scaler.get("status", {}).get("currentReplicas", "?")
    return f"{now} pods, from {spec.get('minReplicas', 1)} to {spec['maxReplicas']}"


def _pod(pod: Object) -> tuple[str, ...]:
    restarts = sum(c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses", []))
    ready = "yes" if evidence.is_ready(pod) else rollout.trouble(pod) or rollout.waiting(pod) or "no"
    age = _age(pod["metadata"]["creationTimestamp"])
    return pod["metadata"]["name"], ready, str(restarts), age, pod["spec"].get("nodeName", "")


def _age(since: str) -> str:
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{max(0, seconds)}s"


def _columns(rows: list[tuple[str, ...]] | list[tuple[str, str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _said(text: str) -> Outcome:
    print(text)  # the command's answer, not its log
    return Outcome(message=text)
