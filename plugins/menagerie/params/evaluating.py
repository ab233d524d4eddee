"""What may be asked of the evaluation: with which numbers, and when a new model is needed."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param

EVALUATING = {
    "precision": Param(
        "auto",
        enum=["auto", "f32", "bf16", "int8"],
        title="Precision",
        description="Numbers that predict computes with. auto: bf16 where the machine has it, else f32. int8: if judge has "
        "accepted the model's int8 variant, else as auto.",
    ),
    "min_accuracy": Param(
        0.95,
        type="number",
        minimum=0,
        maximum=1,
        title="Accuracy wanted",
        description="Of the champion on new pictures. Below this, retraining is needed.",
    ),
    "max_new": Param(
        500,
        type="integer",
        minimum=1,
        title="New pictures wanted",
        description="From so many training pictures on that the champion was not trained on, retraining is needed, however "
        "well it does.",
    ),
    "on_drift": Param(
        True,
        type="boolean",
        title="Retrain on drift",
        description="Retraining is needed also when new pictures differ from those that the champion was trained on: darker, "
        "sharper, of another shape, of other classes. Off: the report says so, and no more.",
    ),
    "review": Param(
        50,
        type="integer",
        minimum=0,
        maximum=1000,
        title="Pictures to review",
        description="So many of the surest errors and of the least certain pictures are listed in the report and copied to "
        "animals_predicted/<run>/review/, for a person to look at. 0: none.",
    ),
    "csv": Param(
        False,
        type="boolean",
        title="CSV",
        description="Also write animals_predicted/<run>/predictions.csv, a table of all predictions for spreadsheets.",
    ),
}
