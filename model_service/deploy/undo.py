"""When a deployment fails: the website goes back, the champion is withdrawn, and the error tells all of it."""

from __future__ import annotations

import logging
import time

import menagerie_contract as contract

from model_service import registry
from model_service.deploy import removal, rollout
from model_service.deploy.canary import Aborted
from model_service.deploy.cluster import Cluster, Unreachable
from model_service.deploy.documents import model_of, sites
from model_service.deploy.evidence import evidence
from model_service.deploy.revisions import Release, Revisions, release
from model_service.deploy.rollout import Superseded
from model_service.deploy.swap import go_back
from model_service.errors import StepError

_LOOK = "Look at the pods' events and log lines above, then train again."
_CARRY_ON = "Clear deploy to carry on, or take the website back: python -m model_service deploy --rollback"

log = logging.getLogger(__name__)


def undo(cluster: Cluster, step: contract.Deploy, ours: Release, first: bool, error: Exception) -> Exception:
    """Go back to what was proved before, and return what to raise. `first`: this attempt made the Deployment.

    A cluster that did not answer says nothing against the model: then it stays champion, and another attempt may help.
    """
    log.error("%s", error)
    passing = isinstance(error, Unreachable)
    cluster.until = time.monotonic() + step.timeout
    try:
        there = rollout.look(cluster, contract.WEBSITE)
        reached = there.deployment is not None and release(there.deployment) == ours
        if not reached and not isinstance(error, Aborted):
            return error  # nothing was changed yet
        told = evidence(cluster, rollout.pods_of(cluster, there.current)).removeprefix(f"{error}\n") if reached else ""
        if reached and there.is_proved:
            remedy = "It was left as it is, for it passed its self test before and was not changed now. See its log."
            return StepError(f"{error}\n{told}", remedy=remedy, retry=True)
        done = _back(cluster, step, there, first) if reached else "the website itself was not changed"
        removal.prune(cluster)
        if not passing and registry.withdraw(step.models, step.model, step.run, str(error)):
            done += f"; model {step.model} is no longer the champion"
    except Superseded:
        return error  # somebody else was quicker
    except StepError as second:
        return StepError(f"{error}\nGoing back failed too: {second}", remedy=_CARRY_ON, retry=True)
    return StepError("\n".join(filter(None, [str(error), told, done])), remedy=_LOOK, retry=passing)


def _back(cluster: Cluster, step: contract.Deploy, there: Revisions, first: bool) -> str:
    """What was done, in words."""
    if there.before is not None:
        failed = there.current["metadata"]["name"] if there.current else ""
        go_back(cluster, there, there.before, [name for name in there.proved if name != failed], cluster.until)
        return f"the website went back to {model_of(there.before, sites(cluster))}"
    if first:
        cluster.delete("Deployment", contract.WEBSITE)
        return "its Deployment was removed: there was no website before it to go back to"
    return "its Deployment was left: there is nothing to go back to; deploy another model, or remove it with --teardown"
