"""Which of Airflow's processes import the pods' operators when they start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.jobs.job import Job
from airflow.sdk.execution_time.task_runner import TaskRunnerMarker
from menagerie import preimport


@pytest.mark.parametrize(
    ("launcher", "module"),
    [
        ("kubernetes", "airflow.providers.cncf.kubernetes.operators.pod"),
        ("gke", "airflow.providers.google.cloud.operators.kubernetes_engine"),
    ],
)
def test_long_lived_processes_do_and_tasks_do_not(launcher: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(preimport, "settings", lambda: SimpleNamespace(launcher=launcher))
    monkeypatch.setattr(preimport, "importlib", SimpleNamespace(import_module=imported.append))
    preimport.on_starting(TaskRunnerMarker())
    assert imported == []
    preimport.on_starting(Job.__new__(Job))  # a scheduler, DAG processor or triggerer makes one
    assert imported == [module]
