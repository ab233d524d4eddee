"""The end of a run: deletes what its steps' pods have left, and what failed ones of earlier runs have left long ago."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import BaseOperator

from menagerie.settings import settings

KEPT = timedelta(hours=24)  # how long a pod that failed may be looked at


class Reaper(BaseOperator):
    ui_color = "#eeeeee"

    def execute(self, context: Any) -> int:
        """The number of pods deleted."""
        from menagerie.launchers import pods, visits  # with Kubernetes' client, seconds: only this task pays for it

        launcher = importlib.import_module(f"menagerie.launchers.{settings().launcher}")
        client = launcher.client()
        wanted = pods.labels(dag=context["ti"].dag_id, run=contract.run_name(context["run_id"]), step="", attempt="")
        run = wanted["menagerie.dev/run"]
        selector = ",".join(f"{key}={wanted[key]}" for key in ("app.kubernetes.io/managed-by", "menagerie.dev/dag"))
        found = client.list_namespaced_pod(settings().namespace, label_selector=selector).items
        reaped = 0
        for pod, why in doomed(found, run, datetime.now(UTC)):
            self.log.info("Deleting pod %s: %s", pod.metadata.name, why)
            visits.discard(client, pod)
            reaped += 1
        return reaped


def doomed(found: Iterable[Any], run: str, now: datetime) -> Iterator[tuple[Any, str]]:
    """The pods to delete, and why. `run`: the label of the run that ends; other runs' pods are left while they run."""
    for pod in found:
        phase, ours = pod.status.phase, pod.metadata.labels.get("menagerie.dev/run") == run
        if ours and phase != "Failed":
            yield pod, "it has succeeded" if phase == "Succeeded" else "its run is over"
        elif phase in ("Failed", "Succeeded") and now - _end(pod) > KEPT:
            yield pod, f"it ended more than {KEPT.total_seconds() / 3600:.0f} hours ago"


def _end(pod: Any) -> datetime:
    ends = [one.state.terminated.finished_at for one in pod.status.container_statuses or [] if one.state.terminated]
    found: datetime = max(filter(None, ends), default=pod.metadata.creation_timestamp)
    return found
