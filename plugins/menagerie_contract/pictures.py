"""The steps that pictures go through, and their arguments. Values may be Jinja templates on the coordinator's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from menagerie_contract.step import Batch, arg

LABEL_PATTERN = r"^(?P<label>.+?)[_ -]?\(?\d+\)?$"  # cat_17, cat 17, cat-17, cat17, cat (17)


@dataclass(frozen=True, kw_only=True)
class Arriving(Batch):
    """What the steps that look at arriving pictures are told."""

    source: str = arg("URI of the bucket where pictures arrive, e.g. gs://animals_all")
    label_manifest: str = arg("name of a CSV or JSONL in the source that tells labels; see --label-rule", "")
    allow: str = arg(
        "the only labels that are taken, separated by commas; with --new-classes=hold: beside those known. What is refused "
        "stays in quarantine: put the picture there again once its label is allowed",
        "",
    )
    new_classes: Literal["accept", "hold", "refuse"] = arg(
        "labels never seen before: take them, copy them to _held/<label>/ until --allow names them (of a first run, that is "
        "all), or put them into quarantine for good",
        "accept",
    )


@dataclass(frozen=True, kw_only=True)
class Plan(Arriving):
    """Find what is new, and split it into ranges of names that are sorted side by side."""

    name: ClassVar[str] = "plan"
    range_size: int = arg("most new objects in a range", 50_000, least=1, most=1_000_000)
    max_ranges: int = arg("most ranges of a run; what is left over waits for the next", 256, least=1, most=1000)


@dataclass(frozen=True, kw_only=True)
class Sort(Arriving):
    """Read each new picture once: validate, label, hash, copy for people, pack into train and holdout shards."""

    name: ClassVar[str] = "sort"
    plan: str = arg("URI of the range to sort, as plan gives it; empty: plan, and sort the first range", "")
    to_predict: str = arg("URI of the bucket that gets a copy of each picture under its label's folder")
    label_rule: Literal["filename", "folder", "manifest"] = arg(
        "where the true label stands: in the name, see --label-pattern; the picture's folder; or --label-manifest, with "
        "columns name (or uri) and label",
        "filename",
    )
    label_pattern: str = arg("rule filename: regular expression on the name without its extension", LABEL_PATTERN)
    holdout: float = arg("share of pictures held out for judging, chosen by content hash", 0.2, least=0, most=0.9)
    max_bad: float = arg("largest share of unusable pictures before the step fails", 0.2, least=0, most=1)
    max_megapixels: float = arg("largest picture decoded, in millions of pixels", 50.0, least=0.001)
    max_megabytes: float = arg("largest file read, in millions of bytes", 50.0, least=0.001)
    min_side: int = arg("shortest side accepted, in pixels", 32, least=1)
    max_aspect: float = arg("largest ratio of the longer to the shorter side", 20.0, least=1)
    shard_megabytes: float = arg("size at which a shard is closed, in millions of bytes", 64.0, least=0.001)
    threads: int = arg("objects read and copied at once", 16, least=1, most=256)


@dataclass(frozen=True, kw_only=True)
class Predict(Batch):
    """Classify the pictures of some shards with one model; writes a Parquet file for each shard."""

    name: ClassVar[str] = "predict"
    model: str = arg("version of the model")
    shards: tuple[str, ...] = arg("URI of a shard to read; repeat for several")
    predicted: str = arg("URI of the bucket with predictions and reports, e.g. gs://animals_predicted")
    precision: Literal["auto", "f32", "bf16", "int8"] = arg(
        "numbers that the model computes with: auto = bf16 where the machine has it, else f32; int8 only if judge has "
        "accepted the model's int8 variant, else as auto",
        "auto",
    )
    embedding: bool = arg("also keep each picture's embedding, what the model's last layer sees, as float16", True)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Batch):
    """Measure a run's predictions against the true labels, and look for drift; writes metrics.json and report.html."""

    name: ClassVar[str] = "evaluate"
    model: str = arg("version of the model that made the predictions")
    predicted: str = arg("URI of the bucket with predictions and reports, e.g. gs://animals_predicted")
    min_accuracy: float = arg("accuracy on new pictures below which retraining is called for", 0.95, least=0, most=1)
    max_new: int = arg("pictures the model was not trained on from which retraining is called for", 500, least=1)
    on_drift: bool = arg("call for retraining also when the pictures have drifted from those trained on", True)
    to_predict: str = arg("URI of the bucket of sorted copies, where review copies come from; empty: make none", "")
    review: int = arg(
        "most errors, and most uncertain pictures, listed and copied for a person", 50, least=0, most=1000
    )
    csv: bool = arg("also write predictions.csv, a table of all predictions for people", False)
