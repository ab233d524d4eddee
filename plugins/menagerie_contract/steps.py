"""The steps and their arguments. Values may be Jinja templates on the coordinator's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from menagerie_contract.step import Step, arg

LABEL_PATTERN = r"^(?P<label>.+?)[_ -]?\(?\d+\)?$"  # cat_17, cat 17, cat-17, cat17, cat (17)
NAMESPACE = "menagerie"  # on Kubernetes: of the steps' pods and of the website
WEBSITE = "animals-website"  # the website's Service and Deployment


@dataclass(frozen=True, kw_only=True)
class Batch(Step):
    """A step that runs to its end and says how it went in a result document, written last."""

    run: str = arg("name of the pipeline run; everything the step writes stands under it")
    models: str = arg("URI of the bucket with batches, ledger, models and results, e.g. gs://animals_models")
    result: str = arg("URI of the result document, written last: the only proof of success")


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


@dataclass(frozen=True, kw_only=True)
class Train(Batch):
    """Train a candidate on the train shards of every batch so far; writes safetensors, ONNX, also in int8, and model.json."""

    name: ClassVar[str] = "train"
    epochs: int = arg("passes over the training pictures (fit one cycle)", 10, least=1)
    image_size: int = arg("side of the square the model sees, in pixels", 224, least=32, most=1024)
    batch_size: int = arg("pictures per optimiser step", 32, least=2)
    learning_rate: float = arg("peak of the one-cycle schedule", 3e-3, least=1e-8, most=10)
    weights: Literal["auto", "none"] = arg(
        "starting weights: auto = ImageNet when they can be fetched, else none; none = from scratch", "auto"
    )
    validation: float = arg("share of the train split kept back to watch training", 0.1, least=0, most=0.5)
    seed: int = arg("seed of every random choice", 42, least=0, most=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Judge(Batch):
    """Score champion and candidate on every held-out picture so far; writes the verdict, also on int8."""

    name: ClassVar[str] = "judge"
    candidate: str = arg("version of the candidate")
    champion: str = arg("version of the champion; empty when there is none", "")
    min_gain: float = arg("accuracy the candidate must gain, as a fraction; below 0: may lose", 0.0, least=-1, most=1)


@dataclass(frozen=True, kw_only=True)
class Promote(Batch):
    """Make the candidate the champion by compare-and-swap of champion.json, if its verdict says so."""

    name: ClassVar[str] = "promote"
    converges: ClassVar[bool] = True  # cleared after deploy withdrew the version, it promotes once more
    candidate: str = arg("version to promote")
    champion: str = arg("version it was judged against; empty when there was none", "")


@dataclass(frozen=True, kw_only=True)
class Deploy(Batch):
    """Move the website to a model without a failed request; or, on Kubernetes: --status, --rollback, --teardown."""

    name: ClassVar[str] = "deploy"
    converges: ClassVar[bool] = True
    model: str = arg("version to serve")
    target: Literal["local", "kubernetes"] = arg("where the website runs: this machine, or the cluster", "local")
    site: str = arg("local: URI of the document that names the model the website serves", "")
    predicted: str = arg("URI of the bucket with reports, which the website shows at /report; empty: it shows none", "")
    url: str = arg("where the website answers", "http://127.0.0.1:5000")
    timeout: float = arg("seconds the website may take to answer with the new model", 120.0, least=0)
    max_p95: float = arg("seconds within which 95 % of the self-test's answers must come", 2.0, least=0)
    tolerance: float = arg("largest difference from a self-test's expected probabilities", 0.02, least=0, most=1)
    namespace: str = arg("kubernetes: namespace of the website", NAMESPACE)
    image: str = arg("kubernetes: the website's image, by digest", "")
    replicas: int = arg("kubernetes: pods at rest", 2, least=1, most=100)
    max_replicas: int = arg("kubernetes: pods under load", 6, least=1, most=1000)
    host: str = arg("kubernetes: public host name; empty: reachable from inside the cluster only", "")
    expose: Literal["gateway", "ingress"] = arg("kubernetes: how a public host is routed", "gateway")
    canary_percent: int = arg("kubernetes: share of pods that try the model first; 0: no canary", 0, least=0, most=90)
    canary_minutes: float = arg("kubernetes: how long the canary is watched", 10.0, least=0, most=1440)
    canary_errors: float = arg("kubernetes: largest share of failed answers of the canary", 0.01, least=0, most=1)
    canary_agreement: float = arg("kubernetes: least agreement of the canary with the champion", 0.5, least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class Operate(Step):
    """Look at the website on Kubernetes, take it back to the model before, or remove it."""

    name: ClassVar[str] = "deploy"
    status: bool = arg("show which model is served, by which pods, and since when", False)
    rollback: bool = arg("go back to the model served before, as deploy does when a model fails", False)
    teardown: bool = arg("remove what deploy made in the namespace, and nothing else", False)
    models: str = arg("rollback: URI of the bucket with models, whose champion pointer moves back too", "")
    namespace: str = arg("namespace of the website", NAMESPACE)
    url: str = arg("where the website answers; empty: its Service", "")
    timeout: float = arg("seconds a rollback may take", 600.0, least=0)


@dataclass(frozen=True, kw_only=True)
class Doctor(Batch):
    """Check all that the pipeline needs: buckets, permissions, cluster, Role, versions; a table with remedies."""

    name: ClassVar[str] = "doctor"
    converges: ClassVar[bool] = True
    run: str = arg("name under which the result is kept", "doctor")
    result: str = arg("URI of the result document; empty: the table is printed, nothing is written", "")
    source: str = arg("URI of the bucket where pictures arrive; empty: not checked", "")
    to_predict: str = arg("URI of the bucket of sorted copies; empty: not checked", "")
    predicted: str = arg("URI of the bucket with predictions and reports; empty: not checked", "")
    namespace: str = arg("namespace of the website on the cluster this runs in; empty: no cluster is checked", "")
    url: str = arg("where the website answers; empty: not asked", "")


@dataclass(frozen=True, kw_only=True)
class Serve(Step):
    """The website: a page where a person drops a picture, and POST /predict for programs."""

    name: ClassVar[str] = "serve"
    models: str = arg("URI of the bucket with models, e.g. gs://animals_models")
    site: str = arg("URI of the document that names the model to serve; followed as it changes")
    host: str = arg("address to listen on", "127.0.0.1")
    port: int = arg("port to listen on", 5000, least=0, most=65535)
    predicted: str = arg("URI of the bucket with reports, which are shown at /report; empty: none are", "")


STEPS: dict[str, type[Step]] = {
    s.name: s for s in (Plan, Sort, Predict, Evaluate, Train, Judge, Promote, Deploy, Serve, Doctor)
}
