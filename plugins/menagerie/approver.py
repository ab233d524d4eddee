"""The operator that asks a person. Its imports are not in every Airflow: approval.py is how it is reached."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLBranchOperator
from airflow.sdk.definitions.param import ParamsDict

ASKING = timedelta(minutes=10)  # what asking, and taking an answer, may take; the wait between them is no task's time


class Approval(HITLBranchOperator):
    """Airflow's ApprovalOperator, with a way to go on for either answer: that one can only skip what follows."""

    def __init__(self, *, approved: str, rejected: str, **kwargs: Any) -> None:
        """`approved`, `rejected`: the tasks to go on with. Silence is a rejection."""
        super().__init__(
            options=[ApprovalOperator.APPROVE, ApprovalOperator.REJECT],
            options_mapping={ApprovalOperator.APPROVE: approved, ApprovalOperator.REJECT: rejected},
            defaults=ApprovalOperator.REJECT,
            execution_timeout=None,  # one given here is taken for the time that a person has, which only the run knows
            **kwargs,
        )
        self.execution_timeout = ASKING

    def execute(self, context: Any) -> Any:
        self.params = ParamsDict()  # Airflow 3.1 would ask for all of the run's Params once more
        # The older of these providers go by the first, the newer by the second.
        self.execution_timeout = self.response_timeout = timedelta(hours=context["params"]["approval_hours"])
        return super().execute(context)
