"""Models at rest: versions under their own prefix, trusted by hash, and the champion pointer that moves by compare-and-swap.

A version is its files plus `model.json`, written last: what it lists, with the sha256 of each file, is all that is ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import menagerie_contract as contract

from model_service import model_card
from model_service.errors import StepError
from model_service.storage import Conflict, Exists, NotFound, name_in, open_store, read_live, write_once

CARD = "model.json"
INT8 = "int8.json"  # beside the files, and not one of the card's: judged when the card is written
_PROVENANCE = ("created", "commit")  # of the attempt that wrote the card, not of the model


class BadModel(StepError):
    """A model that is not there, not whole or not what its card says."""


def save(models: str, version: str, files: Mapping[str, bytes], card: dict[str, Any]) -> dict[str, Any]:
    """Write a version, its card last; returns the card. The same model again is no error; another one under its name is."""
    store = open_store(models)
    card = card | {
        "version": version,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
    }
    text = json.dumps(card, indent=2, sort_keys=True, ensure_ascii=False).encode()
    for name, data in [*files.items(), (CARD, text)]:
        path = name_in(store, f"{contract.model(models, version)}/{name}")
        try:
            store.write_if_absent(path, data)
        except Exists:
            there = store.read(path)
            if there != data and not (name == CARD and _same(json.loads(there), json.loads(text))):
                raise BadModel(f"model {version} exists already with another {name}; nothing was overwritten") from None
            if name == CARD:
                card = json.loads(there)  # an attempt that was killed before its result wrote it
    return card


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
        described: dict[str, Any] = json.loads(store.read(name_in(store, uri)))
    except NotFound:
        raise BadModel(f"no model {version}: {uri} does not exist", remedy=_ANOTHER) from None
    except ValueError as error:
        raise BadModel(f"{uri} is damaged: {error}", remedy=RESTORE) from error
    if wrong := model_card.complaint(described, needed):
        raise BadModel(f"{uri} is damaged: {wrong}", remedy=RESTORE)
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


def int8(models: str, version: str) -> dict[str, Any] | None:
    """What judge found of a version's int8 variant, and whether it may be used; None: nobody has judged it. Raises BadModel.

    {"accepted", "reason", "accuracy": {"f32", "int8"}, "agreement", "pictures"}; the shares are None without pictures.
    """
    store = open_store(models)
    uri = f"{contract.model(models, version)}/{INT8}"
    try:
        judged = json.loads(store.read(name_in(store, uri)))
    except NotFound:
        return None
    except ValueError as error:
        raise BadModel(f"{uri} is damaged: {error}", remedy=_AGAIN) from error
    if not isinstance(judged, dict) or not isinstance(judged.get("accepted"), bool):
        raise BadModel(f"{uri} is damaged: it does not say whether the variant is accepted", remedy=_AGAIN)
    if not isinstance(judged.get("reason"), str):
        raise BadModel(f"{uri} is damaged: it does not say why", remedy=_AGAIN)
    return judged


def save_int8(models: str, version: str, judged: dict[str, Any]) -> dict[str, Any]:
    """Write that, once; returns what stands there."""
    store = open_store(models)
    text = json.dumps(judged, indent=2, sort_keys=True, ensure_ascii=False).encode()
    there: dict[str, Any] = json.loads(
        write_once(store, name_in(store, f"{contract.model(models, version)}/{INT8}"), text)
    )
    return there


def champion(models: str) -> tuple[dict[str, Any] | None, int]:
    """The champion pointer and its generation; (None, 0) when there is none yet, None also when it was withdrawn."""
    pointer, generation = _pointer(models)
    return (pointer if pointer and pointer["version"] else None), generation


def move_champion(models: str, pointer: dict[str, Any], generation: int) -> None:
    """Point to another champion if nobody did since `generation` was read (0: there was none). Raises Exists or Conflict."""
    store = open_store(models)
    name = name_in(store, contract.champion(models))
    data = json.dumps(pointer, indent=2, sort_keys=True, ensure_ascii=False).encode()
    if generation == 0:
        store.write_if_absent(name, data)
    else:
        store.compare_and_swap(name, data, generation)


def withdrawn(models: str) -> dict[str, str] | None:
    """The version taken back last, {"version", "run", "why"}, unless another one became champion since."""
    pointer, _ = _pointer(models)
    found: dict[str, str] | None = (pointer or {}).get("withdrawn")
    return found


def withdraw(models: str, version: str, run: str, why: str, serves: str | None = None) -> bool:
    """Take a champion back that cannot be served. False when it is not champion.

    The pointer leads to the version that the website `serves` now, if that one exists; else to the one before, or to none.
    It then says what was withdrawn, and by which run, until another version becomes champion.
    """
    pointer, generation = _pointer(models)
    if pointer is None or pointer["version"] != version:
        return False
    before = serves if serves and _exists(models, serves) else pointer.get("previous")
    pointer = {
        "version": before,
        "previous": None,  # not known: the pointer remembers one
        "sha256": hashes(card(models, before)) if before else {},
        "promoted": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": None,  # no run promoted it this time
        "verdict": f"{version} was withdrawn",
        "withdrawn": {"version": version, "run": run, "why": why},
    }
    try:
        move_champion(models, pointer, generation)
    except Conflict:
        return False  # another run moved it meanwhile: its word is newer
    return True


def hashes(card: dict[str, Any]) -> dict[str, str]:
    """The sha256 of each file of a version."""
    return {name: entry["sha256"] for name, entry in card["files"].items()}


def _pointer(models: str) -> tuple[dict[str, Any] | None, int]:
    store = open_store(models)
    data, generation = read_live(store, name_in(store, contract.champion(models)))
    return (None if data is None else _read(contract.champion(models), data)), generation


def _read(uri: str, data: bytes) -> dict[str, Any]:
    """A pointer. Raises BadModel for what is none: taken for "no champion", it would be lost with the next promotion."""
    try:
        pointer = json.loads(data)
    except ValueError as error:
        raise BadModel(f"{uri} is damaged: {error}", remedy=_REPAIR) from error
    if not isinstance(pointer, dict) or not isinstance(pointer.get("version", 0), str | None):
        raise BadModel(f"{uri} is damaged: it names no version", remedy=_REPAIR)
    return pointer


def _exists(models: str, version: str) -> bool:
    try:
        return bool(card(models, version))
    except BadModel:
        return False


RETRAIN = "Train another one (run the pipeline with retrain=always), or name another version."
RESTORE = f"Restore the file (gcloud storage ls --all-versions tells its generations). {RETRAIN}"
_ANOTHER = "Name a version that stands in resnet34/ of the bucket with models, or check --models."
_AGAIN = "Delete it, and judge the version once more under another --run."
_REPAIR = (
    "Restore an older generation of it (gcloud storage ls --all-versions), or delete it to begin without a champion."
)
