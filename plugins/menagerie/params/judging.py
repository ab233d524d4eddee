"""What may be asked of the judge, and whether a person has the last word."""

from __future__ import annotations

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import Param

from menagerie.params.arguments import argument

SECTION = "Judging"


def _asked(name: str, title: str, description: str) -> Param:
    return argument(contract.Judge, name, title, description, section=SECTION)


JUDGING = {
    "tolerance": _asked(
        "tolerance",
        "Tolerance",
        "Accuracy on held-out pictures that may be lost: the lower end of the difference's 95 % interval has to be at "
        "least the negative of it.",
    ),
    "min_pictures": _asked(
        "min_pictures",
        "Evidence",
        "With fewer held-out pictures than this, the champion stays: there is not enough evidence.",
    ),
    "max_recall_loss": _asked(
        "max_recall_loss", "Recall that may be lost", "By any class that has enough held-out pictures."
    ),
    "min_support": _asked(
        "min_support", "Enough pictures", "Held-out pictures of a class from which its recall counts."
    ),
    "min_new_recall": _asked(
        "min_new_recall", "Recall of new classes", "At least, on each class that the champion does not know."
    ),
    "max_ece_loss": _asked("max_ece_loss", "Calibration", "By how much the expected calibration error may grow."),
    "max_latency_loss": _asked("max_latency_loss", "Latency", "By what share a picture may take longer."),
}

APPROVAL = {
    "approval": Param(
        False,
        type="boolean",
        title="Ask a person",
        description="A candidate that won waits in Airflow (Browse, Required Actions) until somebody approves or rejects it.",
        section=SECTION,
    ),
    "approval_hours": Param(
        24,
        type="number",
        exclusiveMinimum=0,
        maximum=24 * 30,
        title="Time to answer",
        description="Hours after which a candidate that nobody has approved counts as rejected: the champion stays.",
        section=SECTION,
    ),
}
