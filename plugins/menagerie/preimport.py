"""Airflow's long-lived processes import the pods' operators once, when they start, for the children that parse and run DAGs.

Those imports take 3 to 4 seconds. The DAG processor imports beforehand what a DAG file names at its top, unconditionally;
the pipeline's file does not name them, since a local launcher would pay for them in every task.
"""

from __future__ import annotations

import importlib
from typing import Any

from airflow.listeners import hookimpl

from menagerie.settings import settings

# Airflow's own modules alone: what is imported here is not looked at again when the DAG folder changes.
MODULES = {
    "kubernetes": "airflow.providers.cncf.kubernetes.operators.pod",
    "gke": "airflow.providers.google.cloud.operators.kubernetes_engine",
}


@hookimpl
def on_starting(component: Any) -> None:
    """Of a scheduler, DAG processor or triggerer; a task runner starts too, but to run one task."""
    if hasattr(type(component), "job_type"):
        importlib.import_module(MODULES[settings().launcher])
