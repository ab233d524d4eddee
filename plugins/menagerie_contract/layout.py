"""The bucket layout: which prefix holds what. Arguments are bucket URIs and a run's or model's name."""

from __future__ import annotations

import re

from menagerie_contract.step import ContractError

SPLITS = ("train", "holdout")
QUARANTINE, HELD = "_quarantine", "_held"  # our own folders where pictures arrive
ARCHITECTURE = "resnet34"


def run_name(run_id: str) -> str:
    """An Airflow run id as one path component: `manual__2026-11-21T06:31:00+00:00` → `manual__2026-11-21T06-31-00-00-00`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", run_id)


def batches(models: str) -> str:
    return f"{models}/batches"


def batch(models: str, name: str) -> str:
    """The folder of a batch. Its name is `<run>/<range>-<hash of its manifest>`: another content is another folder."""
    return f"{models}/batches/{name}"


def manifest(models: str, batch: str) -> str:
    """A row a picture. The batch counts once the ledger's head names it."""
    return f"{models}/batches/{batch}/manifest.parquet"


def shard(models: str, batch: str, split: str, index: int) -> str:
    return f"{models}/batches/{batch}/{split}-{index:05d}.tar"


def batch_of(shard: str) -> str:
    """The name of the batch that a shard, by its URI, belongs to."""
    return "/".join(shard.rsplit("/", 3)[1:3])


def plan(models: str, run: str, index: int, digest: str) -> str:
    """The names and generations of a range, written before anything is sorted, so that a retry packs the same shards."""
    return f"{models}/runs/{run}/plan/{index:05d}-{digest}.parquet"


def plan_parts(plan: str) -> tuple[int, str]:
    """Which range of its run it is, and the digest of what it says. Raises ContractError."""
    parts = re.search(r"/runs/[^/]+/plan/([0-9]{5})-([0-9a-f]+)\.parquet$", plan)
    if not parts:
        raise ContractError(
            f"--plan is {plan!r}; give it as plan's result does: <models>/runs/<run>/plan/00000-<12 hex digits>.parquet"
        )
    return int(parts[1]), parts[2]


def ledger_head(models: str) -> str:
    """Which batches there are and which files make up the ledger; moves by compare-and-swap only."""
    return f"{models}/ledger/head.json"


def ledger(models: str, digest: str) -> str:
    """A part of the ledger: what has been sorted, in name order."""
    return f"{models}/ledger/{digest}.parquet"


def predictions(predicted: str, run: str, shard: str) -> str:
    """A run's predictions for the pictures of a shard, by its URI: a file a shard, whichever task made it."""
    batch, name = shard.rsplit("/", 2)[1:]
    return f"{predictions_folder(predicted, run)}/{batch}-{name.removesuffix('.tar')}.parquet"


def predictions_folder(predicted: str, run: str) -> str:
    """All of them, and nothing else."""
    return f"{predicted}/{run}/predictions"


def metrics(predicted: str, run: str) -> str:
    return f"{predicted}/{run}/metrics.json"


def report(predicted: str, run: str) -> str:
    return f"{predicted}/{run}/report.html"


def predictions_csv(predicted: str, run: str) -> str:
    """The predictions as a table for people."""
    return f"{predicted}/{run}/predictions.csv"


def review(predicted: str, run: str) -> str:
    """Copies of the pictures that a person should look at: `<true>__as__<predicted>/…`, `uncertain/<label>/…`."""
    return f"{predicted}/{run}/review"


def latest(predicted: str) -> str:
    """The pointer to the newest run's evaluation; moves by compare-and-swap only."""
    return f"{predicted}/latest.json"


def model(models: str, version: str) -> str:
    return f"{models}/{ARCHITECTURE}/{version}"


def champion(models: str) -> str:
    """The pointer to the model in use; moves by compare-and-swap only."""
    return f"{models}/{ARCHITECTURE}/champion.json"


def verdict(models: str, run: str) -> str:
    return f"{models}/runs/{run}/verdict.json"


def verdict_anew(models: str, run: str, champion: str) -> str:
    """The verdict over a champion that came after the run's judge; empty: none is left."""
    return f"{models}/runs/{run}/verdict-over-{champion or 'none'}.json"


def checkpoints(models: str, run: str) -> str:
    """Where the run's training stands, while it is under way."""
    return f"{models}/runs/{run}/checkpoints"


def checkpoint(models: str, run: str, number: int, sha256: str) -> str:
    """Numbered as they are made; named by their content, which is how they are checked."""
    return f"{checkpoints(models, run)}/{number:05d}-{sha256}.safetensors"


def result(models: str, run: str, step: str) -> str:
    return f"{models}/runs/{run}/{step}.json"
