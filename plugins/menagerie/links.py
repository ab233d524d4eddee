"""Buttons on a task in Airflow that lead to what it made."""

from __future__ import annotations

from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import BaseOperatorLink

from menagerie.settings import Settings, settings


class Report(BaseOperatorLink):
    """The report of the task's run, once the task has made it.

    Airflow asks for the address in the process that ran the task, when that ends, and keeps it as an XCom for its page.
    """

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """`ti_key` is the task instance itself. An empty address is no button."""
        return report_url(settings(), contract.run_name(ti_key.run_id)) if ti_key.state == "success" else ""


def report_url(wanted: Settings, run: str) -> str:
    """Where people open a run's report: a bucket on this machine is shown by the website, one in the cloud by Google."""
    report = contract.report(wanted.bucket("animals_predicted"), run)
    if report.startswith("gs://"):
        return f"https://storage.cloud.google.com/{report.removeprefix('gs://')}"
    return f"{wanted.site_link}/report/{run}"
