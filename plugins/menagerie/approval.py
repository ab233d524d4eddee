"""A person's word between judge and promote, by Airflow's human-in-the-loop operators, which not every Airflow has."""

from __future__ import annotations

import warnings
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from menagerie import links
from menagerie.settings import settings

NEEDED = "Airflow 3.1 and apache-airflow-providers-standard 1.4"
SUBJECT = "Shall {{ ti.xcom_pull(task_ids='train')['outputs']['version'] }} become the champion?"
BODY = """\
It won against the champion, {{ ti.xcom_pull(task_ids='champion') or 'of which there is none yet' }}:

> {{ ti.xcom_pull(task_ids='judge')['counts']['reason'] }}

Nobody's answer within {{ params.approval_hours }} hours counts as Reject: the champion stays.
"""


def ask(*, approved: str, rejected: str, **task: Any) -> Any:
    """The task that asks, and goes on with the task `approved` or with `rejected`; the latter also when nobody answers
    within the run's Param approval_hours. It waits in the triggerer, on Airflow 3.3 nowhere, and holds no worker.

    Where Airflow cannot ask, it is a task that fails and says so: without an answer, nothing is promoted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Airflow's compatibility layer warns about its own imports
            from menagerie.approver import Approval
    except Exception as error:  # there is no such module, or it refuses this Airflow with an exception of its own
        return CannotAsk(why=f"{type(error).__name__}: {error}", **task)
    return Approval(subject=SUBJECT, body=BODY + links.places(settings()), approved=approved, rejected=rejected, **task)


class CannotAsk(BaseOperator):
    """Fails for good, with what is missing."""

    def __init__(self, *, why: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.why = why

    def execute(self, context: Any) -> None:
        raise AirflowFailException(
            f"the Param approval asks for a person's approval, which this Airflow cannot do ({self.why}). Install {NEEDED} "
            "or newer, or run without approval."
        )
