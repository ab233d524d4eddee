"""snapshot: version data, or a model, in the data registry: a commit whose tag names them for ever, and DVC's copy of them.

Data are pushed first, then git says so: branch and tag together, or neither. So whatever a tag names is there, and what a
killed attempt pushed is found by the next one.
"""

from __future__ import annotations

import functools
import json
import logging
from typing import Any

import menagerie_contract as contract

from model_service import registry, verdicts
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.progress import progress
from model_service.results import Outcome
from model_service.scratch import scratch
from model_service.storage import NotFound, locate
from model_service.versioning import contents, figures, filling, transfer, whole
from model_service.versioning.publishing import publish
from model_service.versioning.repository import Change, Repository, opened

log = logging.getLogger(__name__)


def snapshot(step: contract.Snapshot) -> Outcome:
    """Outputs: {tag, batches: what it added, if this run made it}; of a model {tag}. A tag is "" when nothing is versioned."""
    if not step.registry:
        what = f"model {step.model}" if step.model else "the data"
        outputs: dict[str, Any] = {} if step.model else {"batches": []}
        log.warning("WARNING: no data registry (MENAGERIE_REGISTRY) is set: no tag will lead back to %s", what)
        return Outcome({}, {"tag": ""} | outputs, "no data registry: nothing is versioned")
    with opened(step.registry, make=True) as repository:
        _check(step, repository)
        publish(repository, lambda: _beginning(step, repository))
        if step.remote:
            with scratch("remote") as folder:
                transfer.of(repository, step.models, step.remote, folder)
        return _model(step, repository) if step.model else _data(step, repository)


def _data(step: contract.Snapshot, repository: Repository) -> Outcome:
    """Every batch of the ledger that no dataset ever had: also those of runs that ended between sort and snapshot."""
    config, pointers = transfer.committed(repository), _pushed(step, repository)

    def propose() -> Change | str:
        _check(step, repository)
        there, newest = _known(repository), contents.newest(repository, contents.DATASETS)
        missing = {name: pointer for name, pointer in pointers.items() if name not in there}
        if not missing:
            return newest
        tag = contents.following(newest, contents.DATASETS)
        files = {contents.pointer(name): pointer for name, pointer in missing.items()}
        message = "\n".join([f"{tag}: new batches: {len(missing)}", "", *missing])
        return _change(step, repository, config, tag, message, files)

    tag = publish(repository, propose)
    gained = contents.gained(repository, tag) if tag and repository.run_of(tag) == step.run else []
    counts = {"batches": len(gained), "all_batches": len(repository.names(tag, contents.BATCHES)) if tag else 0}
    message = f"{tag}: batches: {counts['all_batches']}, new: {len(gained)}" if tag else "there are no batches yet"
    return Outcome(counts, {"tag": tag, "batches": gained}, message)


def _pushed(step: contract.Snapshot, repository: Repository) -> dict[str, bytes]:
    """Batch → its .dvc file, of each that is new; one at a time is on this machine's disk."""
    known = _known(repository)
    new = {place: batch for place, batch in enumerate(read_head(step.models).batches) if batch.name not in known}
    found: dict[str, bytes] = {}
    if not new:
        return found
    with scratch("snapshot") as folder:
        project = transfer.of(repository, step.models, step.remote, folder)
        for place, batch in progress(new.items(), "snapshot", len(new), lambda: project.doing):
            fill = functools.partial(filling.batch, step.models, batch)
            pointer = project.push(f"{contents.BATCHES}/{batch.name}", fill)
            facts = {"manifest": batch.manifest, "run": batch.run, "pictures": batch.packed, "place": place}
            found[batch.name] = contents.described(pointer, facts)
    return found


def _model(step: contract.Snapshot, repository: Repository) -> Outcome:
    """Its files, how it was made and how good it is. A version has one tag, however often it is promoted."""
    card, verdict = registry.card(step.models, step.model), _verdict(step)
    config, files = transfer.committed(repository), dict[str, bytes]()
    if step.model not in contents.models(repository):
        with scratch("snapshot") as folder:
            project = transfer.of(repository, step.models, step.remote, folder)
            for path in progress([contents.MODEL], "snapshot", 1, lambda: project.doing):
                pointer = project.push(path, functools.partial(filling.model, step.models, step.model))
        files = {
            f"{contents.MODEL}.dvc": pointer,
            contents.PARAMS: contents.dumped(figures.params(card)),
            contents.METRICS: json.dumps(figures.metrics(card, verdict), indent=2).encode() + b"\n",
        }

    def propose() -> Change | str:
        _check(step, repository)
        if found := contents.models(repository).get(step.model):
            return found
        tag = contents.following(contents.newest(repository, contents.MODELS), contents.MODELS)
        return _change(step, repository, config, tag, f"{tag}: {step.model}", files)

    tag = publish(repository, propose)
    return Outcome({"model": step.model}, {"tag": tag}, f"{tag} is {step.model}")


def _check(step: contract.Snapshot, repository: Repository) -> None:
    """Raise StepError unless the registry is whole, and this bucket's."""
    whole.tags(repository, contents.MODELS if step.model else contents.DATASETS)
    whole.ours(repository, step.models)


def _beginning(step: contract.Snapshot, repository: Repository) -> Change | str:
    """What a registry needs that does not say yet where its data are, as an empty one: then this is what it says."""
    files = contents.beginning(transfer.place(step.models, step.remote))
    if repository.newest:
        if transfer.committed(repository):
            return ""
        there = repository.read([(repository.newest, path) for path in files])
        files = {path: data for (path, data), text in zip(files.items(), there, strict=True) if text is None}
    return Change("", files, "A data registry", step.run)


def _change(
    step: contract.Snapshot, repository: Repository, config: bytes, tag: str, message: str, files: dict[str, bytes]
) -> Change:
    """Raises StepError unless the registry says, as it did by `config`, that its data are where they were pushed to."""
    if transfer.committed(repository) != config:
        raise StepError("the registry's .dvc/config was changed while data were pushed", retry=True)
    return Change(tag, files, message, step.run)


def _known(repository: Repository) -> set[str]:
    return {contents.batch_at(path) for path in repository.ever(contents.BATCHES)}


def _verdict(step: contract.Snapshot) -> dict[str, Any] | None:
    """Raises StepError when it is not there, damaged, or another model's."""
    if not step.verdict:
        return None
    store, name = locate(step.verdict)
    try:
        verdict = verdicts.parse(store.read(name), step.verdict)
    except NotFound as error:
        raise StepError(f"{step.verdict} is not there", remedy="give the verdict of judge, or none") from error
    if verdict["candidate"] != step.model:
        raise StepError(
            f"{step.verdict} is the verdict of {verdict['candidate']}, not of {step.model}",
            remedy="give the verdict that promoted the model, or none",
        )
    return verdict
