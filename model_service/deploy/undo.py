"""When a deployment fails: the website goes back, the model is withdrawn if it is to blame, and the error tells all of it."""

from __future__ import annotations

import logging
import time

import menagerie_contract as contract

from model_service import registry
from model_service.deploy import removal, rollout
from model_service.deploy.blame import blames
from model_service.deploy.canary import Aborted
from model_service.deploy.cluster import Cluster
from model_service.deploy.documents import model_of, sites, version_of
from model_service.deploy.evidence import evidence, is_steady
from model_service.deploy.revisions import Release, Revisions, name_of, release
from model_service.deploy.rollout import Superseded
from model_service.deploy.swap import go_back
from model_service.errors import StepError

_LOOK = "Look at the pods' events and log lines above, then train again."
_CLEAR = "Nothing is held against the model: put right what failed, then clear deploy."
_CARRY_ON = "Clear deploy to carry on, or take the website back: python -m model_service deploy --rollback"

log = logging.getLogger(__name__)


def undo(
    cluster: Cluster, step: contract.Deploy, ours: Release, seen: Revisions, withdrawn: str | None, error: Exception
) -> Exception:
    """Go back to what was proved before, and return what to raise. `seen`: what was there before this attempt."""
    log.error("%s", error)
    cluster.until = time.monotonic() + step.timeout
    try:
        there = rollout.look(cluster, contract.WEBSITE)
        reached = there.deployment is not None and release(there.deployment) == ours
        if not reached and not isinstance(error, Aborted):
            return error  # nothing was changed yet
        pods = rollout.pods_of(cluster, there.current) if reached else []
        told = evidence(cluster, pods).removeprefix(f"{error}\n")
        if reached and there.is_proved and name_of(seen.current) == name_of(there.current):
            remedy = "It was left as it is, for it passed its self test before and was not changed now. See its log."
            return StepError(f"{error}\n{told}", remedy=remedy, retry=True)
        known = sites(cluster)
        # Where the website is in the end; never at a version that was withdrawn, whoever deployed that one.
        to = there.back(lambda r: withdrawn is not None and version_of(r, known) == withdrawn) if reached else None
        end = to if reached else there.deployment
        serves = version_of(end, known)
        against = blames(
            error,
            another=serves != step.model,
            same_image=end is not None and release(end).image == ours.image,
            ready=bool(pods) and all(map(is_steady, pods)),
        )
        if to is not None:
            gone = {r["metadata"]["name"] for r in there.replicasets if against and version_of(r, known) == step.model}
            go_back(cluster, there, to, _without(there, gone | {name_of(there.current)}), cluster.until)
            done = f"the website went back to {model_of(to, known)}"
        else:
            done = _left(cluster, there) if reached else "the website itself was not changed"
        removal.prune(cluster)
        if against and registry.withdraw(step.models, step.model, step.run, str(error), serves):
            done += f"; model {step.model} is no longer the champion"
    except Superseded:
        return error  # somebody else was quicker
    except StepError as second:
        return StepError(f"{error}\nGoing back failed too: {second}", remedy=_CARRY_ON, retry=True)
    own = error if isinstance(error, StepError) else StepError(str(error))
    remedy = _LOOK if against else " ".join(filter(None, [own.remedy, _CLEAR]))
    return StepError("\n".join(filter(None, [str(error), told, done])), remedy=remedy, retry=own.retry and not against)


def _without(there: Revisions, gone: set[str]) -> list[str] | None:
    return None if there.noted is None else [name for name in there.proved if name not in gone]


def _left(cluster: Cluster, there: Revisions) -> str:
    """With nothing to go back to. A Deployment that deploy made and never proved serves nobody well: it is removed."""
    if there.noted == []:
        cluster.delete("Deployment", contract.WEBSITE)
        return "its Deployment was removed: nothing was ever proved here to go back to"
    return "its Deployment was left: there is nothing to go back to; deploy another model, or remove it with --teardown"
