"""A launcher turns a step of the contract into a native Airflow operator. One module a backend."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from menagerie_contract import Step

from menagerie import resources
from menagerie.settings import settings

WAITING = timedelta(minutes=40)  # a pod may wait twice 20 minutes: for its node, and for its image


def launch(step: Step, *, links: Sequence[Any] = (), **task: Any) -> Any:
    """The task that runs a step; its XCom is the step's result document. Fields of the step may be Jinja templates.

    `links`: buttons on the task, beside those that its operator has.
    """
    operator = _operator()(argv=step.argv(), **_timeout(resources.row(step)), **task)
    operator.operator_extra_links = (*operator.operator_extra_links, *links)
    return operator


def fan_out(step: type[Step], argvs: Any, **task: Any) -> Any:
    """One mapped task for each command line of an upstream task's list."""
    return _operator().partial(**_timeout(step.name), **task).expand(argv=argvs)


def reap(**task: Any) -> Any:
    """The task that deletes a run's pods when all others are done. A teardown, so that it makes no failed run green."""
    from menagerie.launchers.reaper import Reaper

    return Reaper(**task).as_teardown(on_failure_fail_dagrun=False)


def _timeout(row: str) -> dict[str, timedelta]:
    """A pod's own deadline comes first, since it says which step took too long; the task's is there if the pod is not."""
    deadline = timedelta(seconds=settings().pods[row].deadline)
    return {"execution_timeout": deadline + WAITING if settings().in_pods else deadline}


def _operator() -> Any:
    """Imported only now: what a launcher does not need is not paid for."""
    module, name = {
        "local": ("local", "LocalStepOperator"),
        "kubernetes": ("kubernetes", "KubernetesStepOperator"),
        "gke": ("gke", "GKEStepOperator"),
    }[settings().launcher]
    return getattr(importlib.import_module(f"menagerie.launchers.{module}"), name)
