"""Where a task's buttons lead, and when they are there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from menagerie import documents, links, settings
from menagerie.links import ModelCard, Report, report_url

from tests.plugins.airflow_home import PODS, SITE_URL

RUN = "r1"


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:5000/report/r1"),
        ({"MENAGERIE_SITE_URL": "http://10.0.0.7:8000/"}, "http://10.0.0.7:8000/report/r1"),
        (PODS, "https://storage.cloud.google.com/acme-animals_predicted/r1/report.html"),
        (
            PODS | {"MENAGERIE_BUCKETS": "gs://", "MENAGERIE_SITE_HOST": "animals.example.com"},
            "https://storage.cloud.google.com/animals_predicted/r1/report.html",
        ),
        (
            PODS | {"MENAGERIE_BUCKETS": "file:///srv/b", "MENAGERIE_SITE_HOST": "animals.example.com"},
            "https://animals.example.com/report/r1",
        ),
    ],
)
def test_a_report_is_where_its_bucket_can_be_seen(variables: dict[str, str], url: str) -> None:
    assert report_url(settings.read(variables), RUN) == url


def link(state: str | None) -> str:
    instance = SimpleNamespace(run_id="manual__2026-11-21T06:31:00+00:00", state=state)
    return Report().get_link(None, ti_key=instance)


def test_a_run_is_named_as_in_the_bucket() -> None:
    assert link("success") == f"{SITE_URL}/report/manual__2026-11-21T06-31-00-00-00"


@pytest.mark.parametrize("state", ["deferred", "failed", "up_for_retry", "skipped", "running", None])
def test_there_is_no_button_before_there_is_a_report(state: str | None) -> None:
    assert link(state) == ""


def test_the_card_of_a_model_in_the_cloud_is_a_button_once_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def result(uri: str) -> dict[str, Any]:
        read.append(uri)
        return {"status": "ok", "outputs": {"version": "v7"}}

    monkeypatch.setattr(documents, "result", result)
    monkeypatch.setattr(links, "settings", lambda: settings.read(PODS))
    instance = SimpleNamespace(run_id="r1", state="success")
    card = "https://storage.cloud.google.com/acme-animals_models/resnet34/v7/card.html"
    assert ModelCard().get_link(None, ti_key=instance) == card
    assert read == ["gs://acme-animals_models/runs/r1/train.json"]
    instance.state = "failed"
    assert ModelCard().get_link(None, ti_key=instance) == ""


def test_a_card_on_this_machine_is_no_button() -> None:
    assert ModelCard().get_link(None, ti_key=SimpleNamespace(run_id="r1", state="success")) == ""
