"""What may be asked of training. The rest of its arguments are as the contract has them."""

from __future__ import annotations

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import Param

from menagerie.params.arguments import argument
from menagerie.settings import settings
from menagerie.values import WEIGHTS

SECTION = "Training"


def _asked(name: str, title: str, description: str) -> Param:
    return argument(contract.Train, name, title, description, section=SECTION)


def starting_weights() -> Param:
    return argument(
        contract.Train,
        "weights",
        "Starting weights",
        "Without a champion to start from. auto: ImageNet weights when they can be fetched. none: from scratch. Or the "
        "gs:// or file:/// URI of a safetensors file, for closed networks (MENAGERIE_WEIGHTS sets it for all runs).",
        default=settings().weights,
        pattern=f"^({WEIGHTS})$",
        section=SECTION,
    )


TRAINING = {
    "epochs": argument(contract.Train, "epochs", "Epochs", "Passes over the pictures.", maximum=500),
    "image_size": argument(
        contract.Train, "image_size", "Image size", "Side of the square that the model sees, in pixels."
    ),
    "dataset_tag": Param(
        "",
        type=["null", "string"],
        pattern="^(dataset_v[1-9][0-9]*)?$",
        title="Dataset tag",
        description="Train on what this tag names, e.g. dataset_v22, also when nothing is new. Empty: on all pictures so far.",
        section=SECTION,
    ),
    "network": argument(
        contract.Train,
        "network",
        "Network",
        "The backbone: a name of torchvision's or timm's, e.g. resnet34, efficientnet_b0, convnext_tiny.",
        pattern=r"^[A-Za-z0-9_.\-]+$",
        section=SECTION,
    ),
    "warm_start": _asked(
        "warm_start",
        "Warm start",
        "Start from the champion's weights, where its network allows it; known classes keep what was learned of them.",
    ),
    "weights": starting_weights(),
    "progressive": _asked(
        "progressive",
        "Progressive resizing",
        "Share of the epochs, the first ones, that learn from smaller pictures when training from scratch: of half the side, "
        "in a third of the time, and at last of three quarters. 0: none.",
    ),
    "augment": _asked(
        "augment",
        "Augmentation",
        "Vary pictures by chance before they are learned from: flips, turns, crops, light. auto: where it helps, which is not "
        "so from scratch in fewer than 300 optimiser steps.",
    ),
    "batch_size": _asked("batch_size", "Batch size", "Pictures an optimiser step."),
    "learning_rate": _asked("learning_rate", "Learning rate", "The peak of the one-cycle schedule."),
    "mixup": _asked("mixup", "MixUp", "Its strength, alpha; 0.4 is usual. 0: off."),
    "label_smoothing": _asked("label_smoothing", "Label smoothing", "Share of certainty taken from the true class."),
    "balance": _asked(
        "balance",
        "Balance",
        "For classes of unequal size: weigh their losses (weights), or show pictures of small classes more often "
        "(oversample).",
    ),
    "new_weight": _asked(
        "new_weight", "Weight of what is new", "How many times as often pictures of the newest batch are shown."
    ),
    "max_pictures": _asked(
        "max_pictures", "Pictures at most", "Of earlier batches so many are drawn as fit; the newest stay."
    ),
    "cache_gigabytes": _asked(
        "cache_gigabytes",
        "Cache",
        "Gigabytes of disk for decoded pictures, of the pod's storage; what is over is decoded anew each epoch.",
    ),
    "patience": _asked("patience", "Patience", "Stop after so many epochs without a lower validation loss. 0: never."),
    "deterministic": _asked(
        "deterministic", "Deterministic", "The same weights, bit for bit, of the same arguments on the same machine."
    ),
    "seed": _asked("seed", "Seed", "Of every random choice of training."),
}
