"""Change the website's Deployment if it still is what was seen: the API's optimistic lock, and the only one here.

Of two deployments at once the later one to write has its way, and the other one sees that it was superseded and ends
without touching anything: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import menagerie_contract as contract

from model_service.deploy import rollout
from model_service.deploy.cluster import Changed, Cluster
from model_service.deploy.revisions import Release, Revisions, going_back, release
from model_service.deploy.rollout import Superseded
from model_service.errors import StepError

ATTEMPTS = 20  # the controller writes its status into the same object, a few times in a rollout

Object = dict[str, Any]
log = logging.getLogger(__name__)


def swap(cluster: Cluster, seen: Release | None, config: Callable[[Object | None], Object]) -> Object:
    """Apply `config` of the live Deployment, if that serves `seen` (None: if there is none). Raises Superseded."""
    for _ in range(ATTEMPTS):
        live = cluster.get("Deployment", contract.WEBSITE)
        if (release(live) if live else None) != seen:
            raise Superseded(
                f"another deployment has changed {contract.WEBSITE} meanwhile: this one ends before it does"
            )
        wanted = config(live)
        if live is not None:
            meta = wanted["metadata"] | {"resourceVersion": live["metadata"]["resourceVersion"]}
            wanted = wanted | {"metadata": meta}
        try:
            return cluster.apply(wanted)
        except Changed:
            time.sleep(0.1)
    raise StepError(f"{contract.WEBSITE} changes faster than it can be written", retry=True)


def go_back(cluster: Cluster, there: Revisions, to: Object, proved: list[str] | None, until: float) -> None:
    """Give the website a former ReplicaSet's template again, and wait for it. Raises Failed, Superseded."""
    assert there.deployment is not None

    def config(live: Object | None) -> Object:
        assert live is not None  # else it was superseded
        return going_back(live, to, proved)

    swap(cluster, release(there.deployment), config)
    log.warning("going back to %s (%s)", to["metadata"]["name"], release(to).document)
    rollout.wait(cluster, contract.WEBSITE, release(to), until)
