"""The pipeline's Params: what a person may ask of a run, as Airflow's form shows it."""

from __future__ import annotations

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import Param

LIMITS = "Limits of a picture"  # a section of the form

PARAMS = {
    "epochs": Param(
        10, type="integer", minimum=1, maximum=500, title="Epochs", description="Passes over the pictures."
    ),
    "image_size": Param(
        224,
        type="integer",
        minimum=32,
        maximum=1024,
        title="Image size",
        description="Side of what the model sees, in pixels.",
    ),
    "label_rule": Param(
        "filename",
        enum=["filename", "folder", "manifest"],
        title="Label rule",
        description="The true label is in the file's name, <label>_<n>.<ext>, is its folder's name, or is in a label manifest.",
    ),
    "label_pattern": Param(
        contract.LABEL_PATTERN,
        type="string",
        title="Label pattern",
        description="With the label rule filename: a regular expression with a group (?P<label>…), on the name without its "
        "extension.",
    ),
    "label_manifest": Param(
        "",
        type=["null", "string"],
        title="Label manifest",
        description="With the label rule manifest: name of a .csv or .jsonl in animals_all with the columns name (or uri) and "
        "label.",
    ),
    "allow": Param(
        "",
        type=["null", "string"],
        title="Allowed labels",
        description="The only ones that are taken, separated by commas (with New classes hold: beside those known). Empty: "
        "as New classes says. What is refused stays in quarantine: put the picture there again once its label is allowed.",
    ),
    "new_classes": Param(
        "accept",
        enum=["accept", "hold", "refuse"],
        title="New classes",
        description="Pictures with a label that was never seen before are taken (accept), wait in animals_all/_held/<label>/ "
        "until Allowed labels names it (hold; of a first run, that is all), or go to quarantine (refuse).",
    ),
    "retrain": Param(
        "when-needed",
        enum=["always", "when-needed", "never"],
        title="Retrain",
        description="when-needed: on low accuracy, new classes or many new pictures. always: also when nothing is new.",
    ),
    "deploy": Param(True, type="boolean", title="Deploy", description="Move the website to a newly promoted model."),
    "weights": Param(
        "auto",
        enum=["auto", "none"],
        title="Starting weights",
        description="auto: ImageNet weights when they can be fetched. none: from scratch.",
    ),
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
    "min_gain": Param(
        0.0,
        type="number",
        minimum=-1,
        maximum=1,
        title="Gain wanted",
        description="Accuracy on held-out pictures that a candidate must gain on the champion. Below 0: it may lose that.",
    ),
    "max_bad": Param(
        0.2,
        type="number",
        minimum=0,
        maximum=1,
        title="Bad pictures allowed",
        description="Above this share of a range's new pictures, the run fails.",
    ),
    "range_size": Param(
        50_000,
        type="integer",
        minimum=1,
        maximum=50_000,
        title="Pictures a range",
        description="More new pictures than this are sorted side by side: a task for each so many.",
    ),
    "max_megapixels": Param(
        50, type="number", exclusiveMinimum=0, title="Megapixels", description="At most, in millions.", section=LIMITS
    ),
    "max_megabytes": Param(
        50, type="number", exclusiveMinimum=0, title="Megabytes", description="At most, in millions.", section=LIMITS
    ),
    "min_side": Param(
        32, type="integer", minimum=1, title="Shorter side", description="At least, in pixels.", section=LIMITS
    ),
    "max_aspect": Param(
        20, type="number", minimum=1, title="Aspect", description="Longer to shorter side, at most.", section=LIMITS
    ),
}

POD_PARAMS = {
    "pods": Param(
        {},
        type="object",
        title="Pods",
        description='More or less for a step in this run: {"train": {"cpu": "8", "memory": "32Gi", "gpus": 1}}.',
    ),
    "canary_percent": Param(
        0,
        type="integer",
        minimum=0,
        maximum=90,
        title="Canary",
        description="Share of the website's pods that try a new model first, in percent. 0: none.",
    ),
    "canary_minutes": Param(
        10, type="number", minimum=0, maximum=90, title="Canary's time", description="Minutes it is watched."
    ),
}
