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
from model_service.deploy.documents import model_before, model_of, sites, version_of
from model_service.deploy.kubernetes import address
from model_service.deploy.revisions import Revisions
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
    before = model_before(there, known, _withdrawn(step))
    scaler = cluster.get("HorizontalPodAutoscaler", contract.WEBSITE)
    url = address(step.url, step.namespace)
    answer = Website(url).ready()
    assert there.deployment is not None
    rows = [
        ("serves", f"{model_of(there.deployment, known)} ({'proved' if there.is_proved else 'not proved yet'})"),
        ("back to", model_of(before, known) if before else "nothing"),
        ("rollout", f"{rollout.judge(there.deployment, pods).line}{_condition(there.deployment)}"),
        ("scaling", _scaling(scaler)),
        ("url", f"{url}: {'serves ' + str(answer.body.get('model')) if answer.status == 200 else answer.why}"),
    ]
    table = [("POD", "READY", "RESTARTS", "AGE", "NODE"), *map(_pod, pods)]
    return "\n".join([*_columns(rows), "", *_columns(table)])


def _rollback(cluster: Cluster, step: contract.Operate, there: Revisions) -> Outcome:
    known = sites(cluster)
    to = model_before(there, known, _withdrawn(step))
    if to is None:
        remedy = "Deploy the model you want: deploy --model=…."
        raise StepError("there is nothing to go back to: no other model was proved here", remedy=remedy)
    now, serves = version_of(there.deployment, known), version_of(to, known)
    cluster.until = time.monotonic() + step.timeout
    sets = [r for r in there.replicasets if r is there.current or (now and version_of(r, known) == now)]
    gone = {r["metadata"]["name"] for r in sets}  # all of that model, or the next time would lead there
    proved = None if there.noted is None else [name for name in there.proved if name not in gone]
    go_back(cluster, there, to, proved, cluster.until)
    said = f"the website serves {model_of(to, known)} again"
    why = "an operator took it back"
    if step.models and now and registry.withdraw(step.models, now, "deploy --rollback", why, serves):
        said += f"; model {now} is no longer the champion"
    return _said(said)


def _withdrawn(step: contract.Operate) -> str | None:
    return (registry.withdrawn(step.models) or {}).get("version") if step.models else None


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
