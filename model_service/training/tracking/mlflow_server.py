"""A training as a run on an MLflow server: its arguments, figures by epoch, and the files that tell of the model."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.training.tracking.secrets import scrubbed

EXPERIMENT = "menagerie"  # unless MLFLOW_EXPERIMENT_NAME says another
RUN, VERSION = "menagerie.run", "menagerie.version"  # tags: by the first one, another attempt finds its run
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # which only the whole package can talk to
_BRIEF = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}  # by default it tries for long


class Mlflow:
    """Raises StepError where the package is missing that MLFLOW_TRACKING_URI needs."""

    name = "MLflow"

    def __init__(self, step: contract.Train, folder: Path) -> None:
        scheme = urlsplit(os.environ["MLFLOW_TRACKING_URI"]).scheme.partition("+")[0]
        if importlib.util.find_spec("mlflow") is None:
            raise StepError(
                "MLFLOW_TRACKING_URI is set, and the package mlflow-skinny is not installed",
                remedy="add mlflow-skinny to requirements.txt and run make lock env, or unset MLFLOW_TRACKING_URI",
            )
        if scheme in _DATABASES and importlib.util.find_spec("sqlalchemy") is None:
            raise StepError(
                f"MLFLOW_TRACKING_URI names a {scheme} database, which mlflow-skinny cannot talk to",
                remedy="name an MLflow server (http:// or https://) or a folder (file://), or add mlflow to "
                "requirements.txt and run make lock env",
            )
        if scheme in ("", "file"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it asks whether such a store is meant: it is
        for variable, value in _BRIEF.items():
            os.environ.setdefault(variable, value)
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._mlflow: Any = mlflow
        self._step, self._folder = step, folder
        self._run = ""
        self._told = 0  # epochs, by this attempt or by one before it

    def begin(self) -> None:
        self._client = self._mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        self._run = self._left(experiment) or self._new(experiment)

    def _left(self, experiment: str) -> str:
        """The run that an attempt before this one left unfinished; "" for none."""
        runs = self._client.search_runs([experiment], f"tags.`{RUN}` = '{self._step.run}'", max_results=1)
        if not runs or runs[0].info.status == "FINISHED":
            return ""
        run: str = runs[0].info.run_id
        self._client.update_run(run, status="RUNNING")
        told = self._client.get_metric_history(run, "valid_loss")
        self._told = max((metric.step for metric in told), default=0)
        return run

    def _new(self, experiment: str) -> str:
        from mlflow.entities import Param

        created = self._client.create_run(experiment, tags={RUN: self._step.run}, run_name=self._step.run)
        run: str = created.info.run_id
        arguments = {name: scrubbed(str(value)) for name, value in asdict(self._step).items()}
        self._client.log_batch(run, params=[Param(name, value) for name, value in arguments.items() if value])
        return run

    def epoch(self, figures: Mapping[str, float]) -> None:
        if figures["epoch"] > self._told:
            self._log(figures, int(figures["epoch"]))
            self._told = int(figures["epoch"])

    def saved(self, version: str, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        self._client.set_tag(self._run, VERSION, version)
        self._log({f"validation_{name}": value for name, value in metrics.items()}, self._told)
        for name, data in files.items():
            path = self._folder / "mlflow" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            folder = str(PurePosixPath(name).parent)
            self._client.log_artifact(self._run, str(path), None if folder == "." else folder)

    def end(self, how: str) -> None:
        self._client.set_terminated(self._run, _STATUS[how])

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items() if name != "epoch"]
        self._client.log_batch(self._run, metrics=metrics)
