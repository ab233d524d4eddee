"""The pipeline's Params: what a person may ask of a run, as Airflow's form shows it. A module for each part of the road."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param

from menagerie.params.arriving import ARRIVING
from menagerie.params.evaluating import EVALUATING
from menagerie.params.judging import APPROVAL, JUDGING
from menagerie.params.pods import POD_PARAMS
from menagerie.params.training import TRAINING

__all__ = ["APPROVAL", "JUDGING", "PARAMS", "POD_PARAMS", "TRAINING"]

RUN = {
    "retrain": Param(
        "when-needed",
        enum=["always", "when-needed", "never"],
        title="Retrain",
        description="when-needed: on low accuracy, new classes or many new pictures. always: also when nothing is new.",
    ),
    "deploy": Param(True, type="boolean", title="Deploy", description="Move the website to a newly promoted model."),
}
PARAMS = RUN | ARRIVING | EVALUATING | TRAINING | JUDGING | APPROVAL
