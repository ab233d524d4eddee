"""A launcher turns a step of the contract into a native Airflow operator. One module a backend."""

from __future__ import annotations

from typing import Any

from menagerie_contract import Step

from menagerie.launchers.local import LocalStepOperator


def launch(step: Step, **task: Any) -> LocalStepOperator:
    """The task that runs a step; its XCom is the step's result document. Fields of the step may be Jinja templates."""
    return LocalStepOperator(argv=step.argv(), **task)


def fan_out(argvs: Any, **task: Any) -> Any:
    """One mapped task for each command line of an upstream task's list."""
    return LocalStepOperator.partial(**task).expand(argv=argvs)
