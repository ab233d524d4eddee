"""Buttons on a task in Airflow that lead to what it made, and the addresses of what people look at."""

from __future__ import annotations

from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import BaseOperatorLink

from menagerie import documents
from menagerie.settings import Settings, settings


class Report(BaseOperatorLink):
    """The report of the task's run, once the task has made it.

    Airflow asks for the address in the process that ran the task, when that ends, and keeps it as an XCom for its page.
    """

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """`ti_key` is the task instance itself. An empty address is no button."""
        return report_url(settings(), contract.run_name(ti_key.run_id)) if ti_key.state == "success" else ""


class ModelCard(BaseOperatorLink):
    """The card of the model that the task trained. A folder on this machine is nothing that a browser opens from a page."""

    name = "Model card"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        models = settings().bucket("animals_models")
        if ti_key.state != "success" or not models.startswith("gs://"):
            return ""
        result = documents.result(contract.result(models, contract.run_name(ti_key.run_id), "train"))
        return _google(f"{contract.model(models, result['outputs']['version'])}/card.html") if result else ""


def report_url(wanted: Settings, run: str) -> str:
    """Where people open a run's report: a bucket on this machine is shown by the website, one in the cloud by Google."""
    report = contract.report(wanted.bucket("animals_predicted"), run)
    return _google(report) if report.startswith("gs://") else f"{wanted.site_link}/report/{run}"


def places(wanted: Settings) -> str:
    """Where a run's report and verdict are, as Markdown; the run's name is a template."""
    run = "{{ run_id | run_name }}"
    verdict = contract.verdict(wanted.bucket("animals_models"), run)
    shown = (
        f"[The whole verdict]({_google(verdict)})" if verdict.startswith("gs://") else f"The whole verdict: `{verdict}`"
    )
    return f"\n[The run's report]({report_url(wanted, run)}), if pictures were new to the champion. {shown}.\n"


def _google(uri: str) -> str:
    """Google's own page of an object, which asks for a login."""
    return f"https://storage.cloud.google.com/{uri.removeprefix('gs://')}"
