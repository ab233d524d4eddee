"""How pictures are varied before they are learned from, and whether they are (fastai's aug_transforms).

A network that sees each picture anew in every epoch learns what matters in it, if it has the time: from scratch and in a few
steps it learns less (docs/decisions/0010-training.md has figures).
"""

from __future__ import annotations

from typing import Any

import menagerie_contract as contract

from model_service.training.fastai import aug_transforms
from model_service.training.start import Start

LONG = 300  # steps of the optimiser from which a training from scratch gains by it


def wanted(step: contract.Train, start: Start, pictures: int) -> bool:
    """What is asked for, or what `auto` stands for in a training that learns from so many pictures, on whatever machine."""
    if step.augment != "auto":
        return step.augment == "on"
    return start.learned or step.epochs * max(1, pictures // step.batch_size) >= LONG


def transforms(side: int) -> list[Any]:
    """Flips, turns, crops of 60 to 100 % and light, by chance, for batches on the device that learns."""
    made: list[Any] = aug_transforms(size=side, min_scale=0.6, max_rotate=8.0, max_warp=0.0)
    return made
