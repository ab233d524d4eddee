"""Versions: a model at rest under its own prefix, trusted by hash.

A version is its files plus `model.json`, written last: what it lists, with the sha256 of each file, is all that is ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import menagerie_contract as contract

from model_service import documents, model_card
from model_service.errors import StepError
from model_service.storage import Exists, NotFound, Store, name_in, open_store, write_once

CARD = "model.json"
INT8 = "int8.json"  # beside the files, and not one of the card's: judged when the card is written
REMOVING = "removing.json"  # there from before gc takes the first file away until after the last
_PROVENANCE = ("created", "commit", "machine")  # of the attempt that wrote the card, not of the model


class BadModel(StepError):
    """A model that is not there, not whole or not what its card says."""


def save(
    models: str,
    version: str,
    files: Mapping[str, bytes],
    card: dict[str, Any],
    told: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """Write a version, its card last; returns the card. The same model again is no error; another one under its name is.

    `told` are files that tell of the model, and of when and where it was made: of those that an attempt killed half-way
    has written, its own stay. A name may have a folder ("tensorboard/events.…").
    """
    store = open_store(models)
    refuse_removed(store, models, version)
    place = name_in(store, contract.model(models, version))
    for name, data in files.items():
        _write(store, f"{place}/{name}", data, version)
    kept = {name: write_once(store, f"{place}/{name}", data) for name, data in (told or {}).items()}
    card = card | {
        "version": version,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in (dict(files) | kept).items()
        },
    }
    there: dict[str, Any] = json.loads(
        write_once(store, f"{place}/{CARD}", json.dumps(card, indent=2, sort_keys=True, ensure_ascii=False).encode())
    )
    if not _same(there, json.loads(json.dumps(card))):  # else of an attempt that was killed before its result
        raise _other(version, CARD)
    refuse_removed(store, models, version)
    return there


def _write(store: Store, name: str, data: bytes, version: str) -> None:
    try:
        store.write_if_absent(name, data)
    except Exists:
        if store.read(name) != data:
            raise _other(version, name.rpartition("/")[2]) from None


def _other(version: str, name: str) -> BadModel:
    return BadModel(f"model {version} exists already with another {name}; nothing was overwritten")


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two cards describe the same model, whenever and by whichever attempt it was made."""
    return {k: v for k, v in a.items() if k not in _PROVENANCE} == {k: v for k, v in b.items() if k not in _PROVENANCE}


def card(models: str, version: str, *needed: str) -> dict[str, Any]:
    """What model.json says of a version; the `needed` parts of it are there, and all are in shape (see model_card).

    Raises BadModel when there is no such (finished) model.
    """
    store = open_store(models)
    uri = f"{contract.model(models, version)}/{CARD}"
    try:
        data = store.read(name_in(store, uri))
    except NotFound:
        raise BadModel(f"no model {version}: {uri} does not exist", remedy=_ANOTHER) from None

    def complaint(found: Any) -> str:
        if wrong := model_card.complaint(found, needed):
            return wrong
        return "" if found.get("version") == version else f"it is the card of {found.get('version')!r}"

    described: dict[str, Any] = documents.parsed(data, complaint, lambda wrong: _damaged(uri, wrong, RESTORE))
    return described


def load(models: str, version: str, file: str) -> bytes:
    """One file of a version, its hash checked against the card. Raises BadModel."""
    store = open_store(models)
    entry = card(models, version)["files"].get(file)
    if entry is None:
        raise BadModel(f"model {version} has no file {file}", remedy=RETRAIN)
    uri = f"{contract.model(models, version)}/{file}"
    try:
        data = store.read(name_in(store, uri))
    except NotFound:
        raise BadModel(f"model {version} is not whole: {uri} is missing", remedy=RESTORE) from None
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise BadModel(f"{uri} is not the file its card describes: its sha256 differs", remedy=RESTORE)
    return data


def removing(models: str, version: str) -> bool:
    """Whether gc is taking it away, or was when it was killed."""
    store = open_store(models)
    try:
        return bool(store.stat(name_in(store, f"{contract.model(models, version)}/{REMOVING}")))
    except NotFound:
        return False


def refuse_removed(store: Store, models: str, version: str) -> None:
    """Raise BadModel for a version that gc is taking away."""
    if removing(models, version):
        raise BadModel(
            f"model {version} is being removed: {contract.model(models, version)}/{REMOVING} says so",
            remedy="Let `registry gc --yes` finish (run it again if it was killed), then train anew or name another version.",
        )


def int8(models: str, version: str) -> dict[str, Any] | None:
    """What judge found of a version's int8 variant, and whether it may be used; None: nobody has judged it. Raises BadModel.

    {"accepted", "reason", "accuracy": {"f32", "int8"}, "agreement", "pictures"}; the shares are None without pictures.
    """
    store = open_store(models)
    uri = f"{contract.model(models, version)}/{INT8}"
    try:
        data = store.read(name_in(store, uri))
    except NotFound:
        return None

    def complaint(found: Any) -> str:
        if not isinstance(found, dict) or not isinstance(found.get("accepted"), bool):
            return "it does not say whether the variant is accepted"
        return "" if isinstance(found.get("reason"), str) else "it does not say why"

    judged: dict[str, Any] = documents.parsed(data, complaint, lambda wrong: _damaged(uri, wrong, _AGAIN))
    return judged


def save_int8(models: str, version: str, judged: dict[str, Any]) -> dict[str, Any]:
    """Write that, once; returns what stands there."""
    store = open_store(models)
    text = json.dumps(judged, indent=2, sort_keys=True, ensure_ascii=False).encode()
    there: dict[str, Any] = json.loads(
        write_once(store, name_in(store, f"{contract.model(models, version)}/{INT8}"), text)
    )
    return there


def _damaged(uri: str, wrong: str, remedy: str) -> BadModel:
    return BadModel(f"{uri} is damaged: {wrong}", remedy=remedy)


def hashes(card: dict[str, Any]) -> dict[str, str]:
    """The sha256 of each file of a version."""
    return {name: entry["sha256"] for name, entry in card["files"].items()}


RETRAIN = "Train another one (run the pipeline with retrain=always), or name another version."
RESTORE = f"Restore the file (gcloud storage ls --all-versions tells its generations). {RETRAIN}"
_ANOTHER = "Name a version that stands in resnet34/ of the bucket with models, or check --models."
_AGAIN = "Delete it, and judge the version once more under another --run."
