"""What Airflow needs, as rows; and the table that all rows come to."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowFailException
from menagerie import checkup
from menagerie.checkup import Finding, Row
from menagerie.settings import Settings, read

from tests.plugins.airflow_home import REPO

DIGEST = f"example/model_service@sha256:{'0' * 64}"
ERROR = {"message": "broke down", "remedy": "", "retry": False}
FINE: Row = {"check": "a", "state": "ok", "found": "fine", "remedy": ""}
BROKEN: Row = {"check": "longer", "state": "failed", "found": "broken", "remedy": "mend it"}
LEFT_OUT: Row = {"check": "b", "state": "skipped", "found": "--url is not given", "remedy": ""}


@pytest.fixture
def wanted(tmp_path: Path) -> Settings:
    (tmp_path / "animals_models").mkdir()
    return read({"MENAGERIE_BUCKETS": f"file://{tmp_path}/"})


def states(rows: list[Row]) -> dict[str, str]:
    return {row["check"].removeprefix("coordinator: "): row["state"] for row in rows}


# The coordinator.


def test_on_a_machine_that_is_set_up_all_is_well(wanted: Settings) -> None:
    rows = checkup.coordinator(wanted)
    assert states(rows) == {"settings": "ok", "versions": "ok", "launcher": "ok", "bucket animals_models": "ok"}
    assert all(row["check"].startswith("coordinator: ") for row in rows)


def test_a_bucket_that_airflow_cannot_list_is_a_row_with_the_remedy(wanted: Settings, tmp_path: Path) -> None:
    (tmp_path / "animals_models").rmdir()
    row = checkup.coordinator(wanted)[-1]
    assert row["state"] == "failed"
    assert "FileNotFoundError" in row["found"]
    assert "roles/storage.objectViewer" in row["remedy"]


def test_a_missing_model_environment_is_named_with_the_way_out(wanted: Settings, tmp_path: Path) -> None:
    finding = checkup.launcher(dataclasses.replace(wanted, model_python=tmp_path / "python"))
    assert finding == Finding(
        "failed", f"{tmp_path}/python does not exist", "Run `make env`, or set MENAGERIE_MODEL_PYTHON."
    )


def test_with_pods_the_settings_name_the_images_by_digest() -> None:
    variables = {"LAUNCHER": "kubernetes", "BUCKETS": "gs://acme-", "IMAGE": DIGEST, "SERVE_IMAGE": DIGEST}
    variables |= {"REGISTRY": "https://example.com/data.git"}
    found = checkup.configuration(read({f"MENAGERIE_{key}": value for key, value in variables.items()})).found
    assert found == (
        "launcher kubernetes, buckets gs://acme-…, registry https://example.com/data.git, "
        f"namespace menagerie, image {DIGEST}, website's image {DIGEST}"
    )


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"BUCKETS": "file:///srv/b/"}, "Set MENAGERIE_BUCKETS to gs://…: pods share no folder."),
        ({"REGISTRY": "file:///srv/r.git"}, "Set MENAGERIE_REGISTRY to https://…: pods share no folder."),
        ({"REGISTRY": "none"}, "Set MENAGERIE_REGISTRY to a git URL, so that datasets and models get tags."),
    ],
)
def test_a_folder_is_no_bucket_and_no_registry_of_pods(change: dict[str, str], remedy: str) -> None:
    variables = {"LAUNCHER": "kubernetes", "BUCKETS": "gs://acme-", "IMAGE": DIGEST, "SERVE_IMAGE": DIGEST}
    variables |= {"REGISTRY": "https://example.com/data.git"} | change
    finding = checkup.configuration(read({f"MENAGERIE_{key}": value for key, value in variables.items()}))
    assert (finding.state, finding.remedy) == ("warning", remedy)


def test_versions_name_the_contracts() -> None:
    finding = checkup.versions(checkup.installed)
    assert finding.state == "ok"
    assert f"contract {contract.VERSION}, Python 3.11." in finding.found
    assert "airflow 3.1." in finding.found


@pytest.mark.parametrize(
    ("version", "state"), [("10.7.9", "failed"), (None, "failed"), ("10.8.0", "ok"), ("10.25", "ok"), ("11.0", "ok")]
)
def test_a_provider_that_is_too_old_is_found_out(version: str | None, state: str) -> None:
    package = "apache-airflow-providers-cncf-kubernetes"
    finding = checkup.versions(lambda name: version if name == package else "99.0")
    assert finding.state == state
    assert (f"Install {package}>=10.8 " in finding.remedy) == (state == "failed")


def test_the_versions_wanted_are_those_of_composer_requirements() -> None:
    text = (REPO / "composer_requirements.txt").read_text()
    listed = dict(re.findall(r"^([\w-]+)>=([\d.]+)$", text, re.MULTILINE))
    assert {name: least for name, least in checkup.LEAST.items() if name != "apache-airflow"} == listed


def test_the_rights_asked_for_are_those_of_the_coordinators_role() -> None:
    text = (REPO / "infra/kubernetes/coordinator.yaml").read_text()
    (role,) = [
        one
        for one in yaml.safe_load_all(re.sub(r"^%\{.*\n|\$\{.*?\}", "", text, flags=re.MULTILINE))
        if one["kind"] == "Role"
    ]
    allowed = {resource: tuple(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    assert allowed == checkup.RIGHTS


def test_a_right_is_asked_for_as_kubernetes_wants_it() -> None:
    assert checkup.review("zoo", "pods/log", "get")["spec"] == {
        "resourceAttributes": {"namespace": "zoo", "resource": "pods", "subresource": "log", "verb": "get"}
    }


def test_a_check_that_breaks_down_is_a_row() -> None:
    def stumble() -> Finding:
        raise KeyError("lamp")

    assert checkup.row("light", stumble, "change it") == {
        "check": "light",
        "state": "failed",
        "found": "KeyError: 'lamp'",
        "remedy": "change it",
    }


# The whole table.


def result(status: str, *rows: Row) -> dict[str, Any]:
    error = {"error": ERROR} if status == "failed" else {}
    return {"status": status, "outputs": {"rows": list(rows)}} | error


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/doctor-steps.json"


def write(uri: str, document: dict[str, Any]) -> None:
    Path(uri.removeprefix("file://")).write_text(json.dumps(document))


def test_a_step_that_succeeded_gives_its_rows_but_for_what_was_not_asked(uri: str) -> None:
    assert checkup.of_step("steps", result("ok", FINE, LEFT_OUT), uri) == [FINE | {"check": "steps: a"}]


def test_of_a_step_that_failed_they_are_read_from_its_document(uri: str) -> None:
    write(uri, result("failed", FINE, BROKEN))
    assert [row["check"] for row in checkup.of_step("steps", None, uri)] == ["steps: a", "steps: longer"]


@pytest.mark.parametrize(
    "document",
    [None, result("ok", FINE), {"status": "failed", "error": ERROR}],
    ids=["none", "of an earlier attempt", "no rows"],
)
def test_of_a_step_that_did_not_get_that_far_the_log_is_named(uri: str, document: dict[str, Any] | None) -> None:
    if document:
        write(uri, document)
    (row,) = checkup.of_step("steps", None, uri)
    assert (row["check"], row["state"], row["found"]) == ("steps", "failed", "it left no rows")
    assert "log of the task steps" in row["remedy"]


def test_a_document_that_cannot_be_read_does_not_hide_the_other_rows(uri: str) -> None:
    Path(uri.removeprefix("file://")).write_text("{")
    (row,) = checkup.of_step("steps", None, uri)
    assert row["found"] == f"it left no rows: Damaged: {uri} is not a step's result: it is damaged. " + (
        "Delete it and clear the task."
    )
    Path(uri.removeprefix("file://")).unlink()
    Path(uri.removeprefix("file://")).mkdir()
    (row,) = checkup.of_step("steps", None, uri)
    assert row["found"].startswith("it left no rows: IsADirectoryError")


def test_the_table_is_aligned_and_the_remedy_stands_below() -> None:
    assert list(checkup.table([FINE, BROKEN])) == [
        "ok       a       fine",
        "failed   longer  broken",
        "                 remedy: mend it",
    ]


def test_a_row_that_failed_fails_the_task_with_its_remedy() -> None:
    with pytest.raises(AirflowFailException) as failure:
        checkup.conclude([FINE, BROKEN])
    assert str(failure.value) == "1 of 2 checks failed\nlonger: broken\n  mend it"


def test_warnings_do_not_fail_it() -> None:
    checkup.conclude([FINE, FINE | {"state": "warning"}])
