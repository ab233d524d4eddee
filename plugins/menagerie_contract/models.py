"""The steps that make, version and choose models, and their arguments. Values may be templates on the coordinator's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from menagerie_contract.layout import ARCHITECTURE
from menagerie_contract.step import Batch, Step, arg


@dataclass(frozen=True, kw_only=True)
class Snapshot(Batch):
    """Version data, or a model, in the data registry (git and DVC): a commit, and a tag dataset_vN or model_vN."""

    name: ClassVar[str] = "snapshot"
    registry: str = arg("git URL of the data registry; empty: nothing is versioned, and the step says so", "")
    remote: str = arg("URI of the DVC remote `storage`; empty: <models>/dvc", "")
    model: str = arg("version of a promoted model to tag; empty: the batches that no dataset has yet are added", "")
    verdict: str = arg("URI of the verdict that promoted the model, whose figures become its metrics; empty: none", "")


@dataclass(frozen=True, kw_only=True)
class Train(Batch):
    """Train a candidate on the train shards of a dataset; writes safetensors, ONNX, also in int8, model.json and a card."""

    name: ClassVar[str] = "train"
    registry: str = arg("git URL of the data registry, where --dataset-tag is looked up", "")
    dataset_tag: str = arg("train on the batches of this tag, e.g. dataset_v22; empty: on all batches so far", "")
    champion: str = arg("version in use, from whose weights training starts; empty: there is none", "")
    warm_start: bool = arg("start from the champion's weights, where its classes and network allow it", True)
    network: str = arg("the backbone: a name of torchvision's or timm's", ARCHITECTURE)
    weights: str = arg(
        "starting weights without a champion: auto = ImageNet when they can be fetched, else none; none = from scratch; or "
        "the gs:// or file:// URI of a safetensors file, for closed networks",
        "auto",
    )
    epochs: int = arg("passes over the training pictures (fit one cycle)", 10, least=1)
    freeze_epochs: int = arg("passes before those in which only a new head learns; none from scratch", 1, least=0)
    image_size: int = arg("side of the square the model sees, in pixels", 224, least=32, most=1024)
    progressive: float = arg(
        "share of the epochs, the first ones, of a training from scratch that learn from smaller pictures: the first three "
        "quarters of them of half the side, in a third of the time, the others of three quarters, in three fifths; 0: none",
        0.8,
        least=0,
        most=0.9,
    )
    augment: Literal["auto", "on", "off"] = arg(
        "vary pictures by chance (flips, turns, crops, light) before they are learned from: auto = yes, but for trainings from "
        "scratch of fewer than 300 optimiser steps, which learn less by it",
        "auto",
    )
    batch_size: int = arg("pictures per optimiser step", 32, least=2)
    learning_rate: float = arg("peak of the one-cycle schedule", 3e-3, least=1e-8, most=10)
    label_smoothing: float = arg("share of certainty taken from the true class", 0.1, least=0, most=0.9)
    mixup: float = arg("strength of MixUp, its alpha; 0: off", 0.0, least=0, most=10)
    balance: Literal["none", "weights", "oversample"] = arg(
        "for classes of unequal size: weigh their losses, or show pictures of small classes more often", "none"
    )
    patience: int = arg("stop after so many epochs without a lower loss on the validation part; 0: never", 0, least=0)
    new_weight: float = arg("how many times as often pictures of the newest batch are shown", 1.0, least=1, most=100)
    max_pictures: int = arg("most pictures trained on: of earlier batches so many are drawn as fit", 1_000_000, least=8)
    cache_gigabytes: float = arg("disk for decoded pictures; what is over is decoded anew each epoch", 8.0, least=0)
    numbers: Literal["auto", "f32", "bf16"] = arg(
        "numbers that training computes with: auto = mixed precision on GPUs and on CPUs that have bf16, else f32",
        "auto",
    )
    deterministic: bool = arg("the same weights, bit for bit, from the same arguments on the same machine", False)
    validation: float = arg("share of the train split kept back to watch training", 0.1, least=0, most=0.5)
    seed: int = arg("seed of every random choice", 42, least=0, most=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Judge(Batch):
    """Score champion and candidate on every held-out picture so far; writes the verdict, also on int8."""

    name: ClassVar[str] = "judge"
    candidate: str = arg("version of the candidate")
    champion: str = arg("version of the champion; empty when there is none", "")
    tolerance: float = arg(
        "accuracy that may be lost: the lower end of the difference's 95 % interval must be at least its negative",
        0.0,
        least=0,
        most=1,
    )
    min_pictures: int = arg("held-out pictures below which there is not enough evidence", 100, least=1)
    max_recall_loss: float = arg("recall that a class may lose, if it has --min-support", 0.05, least=0, most=1)
    min_support: int = arg("held-out pictures of a class from which its recall counts", 20, least=1)
    max_ece_loss: float = arg("by how much the calibration error may grow", 0.02, least=0, most=1)
    max_latency_loss: float = arg("by what share a picture may take longer", 0.2, least=0)
    min_new_recall: float = arg("recall needed on each class that the champion does not know", 0.5, least=0, most=1)
    seed: int = arg("seed of the bootstrap", 0, least=0, most=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Promote(Batch):
    """Make the candidate the champion by compare-and-swap of champion.json, if its verdict says so."""

    name: ClassVar[str] = "promote"
    converges: ClassVar[bool] = True  # cleared after deploy withdrew the version, it promotes once more
    candidate: str = arg("version to promote")
    champion: str = arg("version it was judged against; empty when there was none", "")


@dataclass(frozen=True, kw_only=True)
class Registry(Step):
    """The models at hand: list them, look at one, promote or roll back by hand, remove old ones."""

    name: ClassVar[str] = "registry"
    action: Literal["list", "show", "promote", "rollback", "gc"] = arg("what to do", positional=True)
    version: str = arg(
        "version to show, to promote or to roll back to; rollback: empty is the one before", "", positional=True
    )
    models: str = arg("URI of the bucket with models, e.g. gs://animals_models")
    registry: str = arg(
        "git URL of the data registry, whose tagged models gc keeps; none: there is no such registry", ""
    )
    why: str = arg("promote, rollback: the reason, kept in the pointer", "")
    force: bool = arg("promote: without a verdict that says so", False)
    keep: int = arg("gc: how many of the newest versions stay, beside the champion and the tagged ones", 10, least=0)
    yes: bool = arg("gc: remove; without it, only say what would go", False)


@dataclass(frozen=True, kw_only=True)
class Reproduce(Step):
    """Rebuild a model from its tag, and say how far the result is from the original."""

    name: ClassVar[str] = "reproduce"
    tag: str = arg("the model's tag, e.g. model_v3")
    registry: str = arg("git URL of the data registry")
    models: str = arg("URI of the bucket with batches and models, e.g. gs://animals_models")
    save: bool = arg("also keep the rebuilt model in the bucket, as a version of its own", False)
