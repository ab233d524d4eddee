"""The contract between the coordinator (Airflow) and the steps (containers): the steps, their arguments, the bucket layout.

Standard library only, imported by both sides and copied beside `model_service` in the image. A step is a frozen dataclass;
its fields are its command line: `step.argv()` renders it, `parse(argv)` reads it back and the CLI's `--help` is made from
the same fields. Values may be Jinja templates on the coordinator's side, so types are checked where they are parsed.
"""

from __future__ import annotations

from menagerie_contract.command_line import parse, parser
from menagerie_contract.layout import (
    ARCHITECTURE,
    HELD,
    QUARANTINE,
    SPLITS,
    batch,
    batch_of,
    batches,
    champion,
    checkpoint,
    checkpoints,
    latest,
    ledger,
    ledger_head,
    manifest,
    metrics,
    model,
    plan,
    plan_parts,
    predictions,
    predictions_csv,
    predictions_folder,
    report,
    result,
    review,
    run_name,
    shard,
    verdict,
    verdict_anew,
)
from menagerie_contract.models import Judge, Promote, Registry, Reproduce, Snapshot, Train
from menagerie_contract.pictures import LABEL_PATTERN, Arriving, Evaluate, Plan, Predict, Sort
from menagerie_contract.step import VERSION, Batch, ContractError, Step
from menagerie_contract.steps import STEPS
from menagerie_contract.website import NAMESPACE, WEBSITE, Deploy, Doctor, Operate, Serve

__all__ = [
    "ARCHITECTURE",
    "HELD",
    "LABEL_PATTERN",
    "NAMESPACE",
    "QUARANTINE",
    "SPLITS",
    "STEPS",
    "VERSION",
    "WEBSITE",
    "Arriving",
    "Batch",
    "ContractError",
    "Deploy",
    "Doctor",
    "Evaluate",
    "Judge",
    "Operate",
    "Plan",
    "Predict",
    "Promote",
    "Registry",
    "Reproduce",
    "Serve",
    "Snapshot",
    "Sort",
    "Step",
    "Train",
    "batch",
    "batch_of",
    "batches",
    "champion",
    "checkpoint",
    "checkpoints",
    "latest",
    "ledger",
    "ledger_head",
    "manifest",
    "metrics",
    "model",
    "parse",
    "parser",
    "plan",
    "plan_parts",
    "predictions",
    "predictions_csv",
    "predictions_folder",
    "report",
    "result",
    "review",
    "run_name",
    "shard",
    "verdict",
    "verdict_anew",
]
