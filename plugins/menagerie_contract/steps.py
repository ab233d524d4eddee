"""All steps, by their names on the command line."""

from __future__ import annotations

from menagerie_contract.models import Judge, Promote, Registry, Reproduce, Snapshot, Train
from menagerie_contract.pictures import Evaluate, Plan, Predict, Sort
from menagerie_contract.step import Step
from menagerie_contract.website import Deploy, Doctor, Serve

STEPS: dict[str, type[Step]] = {
    s.name: s
    for s in (
        Plan,
        Sort,
        Predict,
        Evaluate,
        Snapshot,
        Train,
        Judge,
        Promote,
        Deploy,
        Serve,
        Doctor,
        Registry,
        Reproduce,
    )
}
