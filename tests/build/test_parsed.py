"""What Airflow says of the DAGs after a sync, read from what its commands print."""

from __future__ import annotations

import pytest

from infra.build import parsed
from tests.build.machine import details

# as Airflow 3.1.8 prints it
PRINTED = (
    '[{"dag_id": "animals_pipeline", "is_paused": "False", "is_stale": "False", '
    '"last_parsed_time": "2026-11-21 07:58:32.602156+00:00", "last_expired": null, "bundle_version": null}]\n'
)
MOMENT = 1795247912.602156


def test_a_dag_that_was_parsed_since_is_there() -> None:
    assert parsed.waiting_for([PRINTED], MOMENT) == []


def test_a_dag_that_was_parsed_before_is_waited_for() -> None:
    [missing] = parsed.waiting_for([PRINTED], MOMENT + 0.01)

    assert missing == "animals_pipeline was last parsed at 2026-11-21 07:58:32.602156+00:00"


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("", "(nothing)"),
        ("DAG: animals_pipeline does not exist in 'dag' table\n", "does not exist"),
        ("[]\n", "not there"),
        ('[{"dag_id": "a", "last_parsed_time": null, "is_stale": "False"}]', "a was last parsed at None"),
        (details("a", 2e9, is_stale="True"), "a is stale"),
    ],
)
def test_what_keeps_a_dag_from_being_there_is_told(printed: str, told: str) -> None:
    [missing] = parsed.waiting_for([printed], 0)

    assert told in missing


def test_warnings_around_the_answer_do_no_harm() -> None:
    assert parsed.rows(f"[warning] something\n{PRINTED}bye\n")[0]["dag_id"] == "animals_pipeline"


def test_import_errors_are_ours_by_the_files_name() -> None:
    printed = (
        '[{"filepath": "menagerie_doctor.py", "error": "boom"}, {"filepath": "their/dag.py", "error": "x"}, '
        '{"filepath": "/home/airflow/gcs/plugins/menagerie/settings.py", "error": "bang"}]'
    )

    assert parsed.import_errors(printed, 1) == [
        "menagerie_doctor.py:\nboom",
        "/home/airflow/gcs/plugins/menagerie/settings.py:\nbang",
    ]


@pytest.mark.parametrize(("printed", "status"), [("", 1), ("the environment is updating", 1), ("[]", 137)])
def test_no_answer_is_not_taken_for_no_errors(printed: str, status: int) -> None:
    with pytest.raises(parsed.Unreadable):
        parsed.import_errors(printed, status)
