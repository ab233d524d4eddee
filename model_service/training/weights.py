"""The weights a training starts from: the champion's, ImageNet's, those of a file, or none. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import http.client
import logging
import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import menagerie_contract as contract
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn
from torchvision import models

from model_service import backbone, registry
from model_service.backbone import Backbone
from model_service.errors import StepError
from model_service.inference import WEIGHTS
from model_service.storage import NotFound, locate
from model_service.training.start import Start

FETCH_TIMEOUT = 20.0  # seconds without an answer after which the weights count as out of reach

log = logging.getLogger(__name__)


def put(network: nn.Sequential, made: Backbone, classes: list[str], step: contract.Train) -> Start:
    """Give the network, which was `made`, its starting weights, as the step wants them."""
    if step.champion and step.warm_start and (start := _champion(network, classes, step)):
        return start
    fresh = tuple(classes)
    if step.weights == "none":
        return Start("none", fresh=fresh)
    if step.weights != "auto":
        return Start("file", step.weights, _file(made, step.weights), fresh)
    found = _imagenet(made, step.image_size)
    return Start("none", fresh=fresh) if found is None else Start("imagenet", *found, fresh)


def _champion(network: nn.Sequential, classes: list[str], step: contract.Train) -> Start | None:
    """All weights of the champion, the rows of its last layer by their classes' names; None, loudly, if they do not fit."""
    card = registry.card(step.models, step.champion, "classes")
    name, side = card.get("architecture"), card.get("preprocessing", {}).get("size")
    why = ""
    if WEIGHTS not in card["files"]:
        why = f"it has no {WEIGHTS}"
    elif name != step.network:
        why = f"it is a {name}, this is to be a {step.network}"
    elif side != step.image_size:
        why = f"it sees {side} pixels, this is to see {step.image_size}"
    elif not set(classes) & set(card["classes"]):
        why = "it knows none of the classes"
    if why:
        log.warning("WARNING: NOT starting from the champion %s: %s", step.champion, why)
        return None
    data = registry.load(step.models, step.champion, WEIGHTS)
    try:
        state = load(data)
        last = f"1.{len(network[1]) - 1}.weight"  # type: ignore[arg-type]
        rows = {label: state[last][i] for i, label in enumerate(card["classes"])}
        new = network.state_dict()[last]
        state[last] = torch.stack([rows.get(label, new[i]) for i, label in enumerate(classes)])
        network.load_state_dict(state)
    except (SafetensorError, KeyError, IndexError, RuntimeError) as error:
        why = f"{WEIGHTS} of {step.champion} holds no weights of a {name}: {error}"
        raise registry.BadModel(why, remedy="set warm_start to false, or promote another version") from error
    fresh = tuple(label for label in classes if label not in rows)
    dropped = [label for label in card["classes"] if label not in classes]
    log.info(
        "starting from the champion %s: %d classes it knows, new ones: %s, dropped ones: %s",
        *(step.champion, len(classes) - len(fresh), ", ".join(fresh) or "none", ", ".join(dropped) or "none"),
    )
    return Start("champion", step.champion, hashlib.sha256(data).hexdigest(), fresh)


def _file(made: Backbone, uri: str) -> str:
    """Weights from a safetensors file; its sha256."""
    try:
        store, name = locate(uri)
        data = store.read(name)
        made.load(load(data))
    except NotFound:
        raise StepError(f"no weights: {uri} does not exist", remedy="set --weights to a file that does") from None
    except SafetensorError as error:
        raise StepError(
            f"{uri} is no safetensors file: {error}",
            remedy="convert it where you trust it: safetensors.torch.save_file(torch.load(…, weights_only=True), …)",
        ) from error
    return hashlib.sha256(data).hexdigest()


def _imagenet(made: Backbone, side: int) -> tuple[str, str] | None:
    """ImageNet weights, by torchvision or timm: their name and sha256. None, loudly, when they cannot be fetched."""
    ours = made.name in models.list_models(module=models)
    try:
        with _in_time():
            return _of_torchvision(made) if ours else _of_timm(made, side)
    # RuntimeError: another hash than promised; UnpicklingError: something else than tensors.
    except (OSError, http.client.HTTPException, RuntimeError, pickle.UnpicklingError) as error:
        log.warning(
            "WARNING: ImageNet weights cannot be fetched (%s). Training FROM SCRATCH: expect far lower accuracy for the "
            "same number of epochs. Allow %s, set weights to the URI of a safetensors file, or weights=none to say that "
            "this is meant.",
            *(error, models.get_model_weights(made.name).DEFAULT.url if ours else "huggingface.co"),
        )
        return None


@contextmanager
def _in_time() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _of_torchvision(made: Backbone) -> tuple[str, str]:
    weights = models.get_model_weights(made.name).DEFAULT
    made.load(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[1])
    with file.open("rb") as stream:
        return str(weights), hashlib.file_digest(stream, "sha256").hexdigest()


def _of_timm(made: Backbone, side: int) -> tuple[str, str]:
    """timm fits some weights to the pictures' size, so it is they, and not a file, whose hash is told."""
    state = backbone.build(made.name, side, pretrained=True).body.state_dict()
    made.body.load_state_dict(state)
    return f"timm/{made.name}", hashlib.sha256(save(state)).hexdigest()
