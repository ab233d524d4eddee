"""All that a training began with, in a bucket of its own on this machine: its batches, the model itself, and its champion.

Each file is from the bucket with models, and where that has it no more, or has other bytes, from the data registry. Either way
its sha256 is what was committed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service import batches, registry, streams, versioning
from model_service.errors import StepError
from model_service.progress import progress
from model_service.reproducing.pulled import pull
from model_service.shards import BadShard
from model_service.storage import NotFound, open_store
from model_service.versioning import contents, filling

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """`models` is the bucket, `card` the original's, `batches` (name → sha256 of the manifest) are in the order of their
    commits, and `pulled` is what only the data registry had.
    """

    models: str
    card: dict[str, Any]
    batches: dict[str, str]
    pulled: list[str]


def gather(step: contract.Reproduce, folder: Path) -> Gathered:
    """Raises StepError for what neither place has as it was."""
    bucket = folder / "models"
    bucket.mkdir()
    here, pulled = f"file://{bucket}", list[str]()
    tagged = versioning.model(step.registry, step.tag)
    _model(step, step.tag, tagged.version, here, pulled)
    card = registry.card(here, tagged.version, "classes", "preprocessing", "data")
    arguments = card.get("training", {})
    if arguments.get("champion") and arguments.get("warm_start"):
        _champion(step, arguments["champion"], here, pulled)
    wanted = _wanted(step, tagged.dataset, card)
    for name in progress(wanted, "fetch", len(wanted)):
        _batch(step, name, wanted[name], here, pulled)
    return Gathered(here, card, wanted, pulled)


def _wanted(step: contract.Reproduce, dataset: str, card: Mapping[str, Any]) -> dict[str, str]:
    """The batches of the dataset's tag; without one those that the card names."""
    if dataset:
        return versioning.dataset(step.registry, dataset)
    told = card["data"].get("batches")
    if not told:
        raise StepError(
            f"{step.tag} does not say what it was trained on: neither a dataset's tag nor batches",
            remedy="name a tag of a model that this release trained, or a later one",
        )
    return {batch["name"]: batch["manifest"] for batch in told}


def _batch(step: contract.Reproduce, name: str, manifest: str, here: str, pulled: list[str]) -> None:
    folder = _folder(contract.batch(here, name))

    def fetch() -> None:
        _check(step.models, name, manifest, folder)

    def pull_it() -> None:
        pull(step.registry, step.tag, contents.pointer(name).removesuffix(".dvc"), folder)
        checked = folder.with_name(f"{folder.name}.checked")
        checked.mkdir()
        try:
            _check(here, name, manifest, checked)
        finally:
            shutil.rmtree(checked)

    _either(f"batch {name}", folder, fetch, pull_it, pulled)


def _check(models: str, name: str, manifest: str, into: Path) -> None:
    """Fetch a batch's manifest and shards into a folder. Raises BadShard for one that is missing or has other bytes."""
    found = {contract.manifest(models, name): manifest}
    for _, table in batches.named(models, {name: manifest}):
        for split in contract.SPLITS:
            found |= batches.shards_in(models, name, table, split)
    for uri, path in streams.fetched(open_store(models), found, into):
        path.rename(into / uri.rpartition("/")[2])


def _champion(step: contract.Reproduce, version: str, here: str, pulled: list[str]) -> None:
    """The model that a warm start began with."""
    tag = versioning.tagged_models(step.registry).get(version, "")
    _model(step, tag, version, here, pulled)


def _model(step: contract.Reproduce, tag: str, version: str, here: str, pulled: list[str]) -> None:
    folder = _folder(contract.model(here, version))

    def fetch() -> None:
        filling.model(step.models, version, folder)

    def pull_it() -> None:
        if not tag:
            raise StepError(
                f"the bucket has no whole {version}, from which the training began, and the data registry never had it",
                remedy=f"bring it back: gcloud storage ls --all-versions {contract.model(step.models, version)}/",
            )
        pull(step.registry, tag, contents.MODEL, folder)
        for name in registry.card(here, version)["files"]:
            registry.load(here, version, name)  # its hash

    _either(f"model {version}", folder, fetch, pull_it, pulled)


def _either(what: str, folder: Path, fetch: Callable[[], None], pull_it: Callable[[], None], pulled: list[str]) -> None:
    """From the bucket; if it is not there as it was, from the registry."""
    folder.mkdir(parents=True)
    try:
        fetch()
        return
    except (BadShard, registry.BadModel, NotFound) as error:
        log.info("%s: the bucket does not have it as it was (%s); from the data registry", what, error)
        shutil.rmtree(folder)
        folder.mkdir()
    pull_it()
    pulled.append(what)


def _folder(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))
