"""Checkpoints: where a training stands, kept in storage so that another attempt goes on from there.

One safetensors file each, its sha256 in its name and what it is in its header: it is whole or not there, nothing in it is
unpickled, and an attempt with other arguments, data or libraries does not take it for its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import menagerie_contract as contract
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from model_service.scratch import scratch
from model_service.storage import Blob, Exists, NotFound, name_in, open_store
from model_service.training import distributed

FORMAT = 3  # changes whenever an older checkpoint can no longer be gone on from
_ABOUT = "menagerie"  # the header's one entry: several would stand in any order
_NAME = re.compile(r"(\d{5,})-([0-9a-f]{64})\.safetensors")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Tensors, and facts that JSON can hold (floats exactly)."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


class _NotOurs(Exception):
    """A checkpoint that cannot be gone on from, and why."""


class Checkpoints:
    """Those of a run. `origin` is what they depend on: only one made with the same is gone on from."""

    def __init__(self, models: str, run: str, origin: dict[str, Any]) -> None:
        self._store = open_store(models)
        self._folder = name_in(self._store, contract.checkpoints(models, run)) + "/"
        self._run, self._origin = run, {"format": FORMAT} | origin
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[bool] | None = None
        self._number = max((number for number, _, _ in self._list()), default=0)

    def latest(self) -> Checkpoint | None:
        """The newest one that is ours and undamaged; each newer one that is not is told of, loudly."""
        for number, digest, blob in sorted(self._list(), reverse=True):
            try:
                return self._open(digest, blob)
            # NotFound: another attempt, thought dead, has just written its next.
            except (_NotOurs, SafetensorError, NotFound) as error:
                log.warning("WARNING: checkpoint %d (%s/%s) is ignored: %s", number, self._store.uri, blob.name, error)
        return None

    def save(self, checkpoint: Checkpoint, *, wait: bool = False) -> bool:
        """Take a copy, and write it while training goes on; then delete the older ones.

        While the last one is still being written there is none, and False is returned: storage is slower than training,
        and a copy more would only take memory. With `wait` both are written when this returns; False when that failed.
        """
        if distributed.rank() > 0:
            return True  # the first of several processes keeps them for all
        if self._writing is not None and not self._writing.done() and not wait:
            return False
        # Training goes on in the same memory: so a copy.
        tensors = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in checkpoint.tensors.items()
        }
        about = json.dumps({"origin": self._origin, "facts": checkpoint.facts}, sort_keys=True)
        self._number += 1
        self._writing = self._pool.submit(self._write, self._number, tensors, about)
        return self._writing.result() if wait else True

    def close(self) -> None:
        """Wait for what is being written; none is saved after that."""
        self._pool.shutdown()

    def clear(self) -> None:
        """Delete them all: the model is saved."""
        self.close()
        if distributed.rank() == 0:
            self._delete(math.inf)

    def _list(self) -> list[tuple[int, str, Blob]]:
        found = (
            (_NAME.fullmatch(blob.name.removeprefix(self._folder)), blob) for blob in self._store.list(self._folder)
        )
        return [(int(match[1]), match[2], blob) for match, blob in found if match]

    def _open(self, digest: str, blob: Blob) -> Checkpoint:
        with scratch("checkpoint") as folder:
            path = folder / "checkpoint"
            self._store.download(blob.name, path)
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    raise _NotOurs("it is damaged: its sha256 differs")
            with safe_open(path, "pt") as file:
                names = file.keys()
                try:
                    about = json.loads((file.metadata() or {})[_ABOUT])
                    origin, facts = dict(about["origin"]), dict(about["facts"])
                except (ValueError, KeyError, TypeError) as error:
                    raise _NotOurs(f"it is not one of ours: {error!r}") from None
                if differ := sorted(k for k in origin | self._origin if origin.get(k) != self._origin.get(k)):
                    text = "; ".join(f"{k} was {origin.get(k)}, is {self._origin.get(k)}" for k in differ)
                    raise _NotOurs(f"it is of another training: {text}")
                return Checkpoint({name: file.get_tensor(name) for name in names}, facts)

    def _write(self, number: int, tensors: dict[str, torch.Tensor], about: str) -> bool:
        """Whether it is whole. A failure does not end the training, which may yet need no checkpoint."""
        try:
            with scratch("checkpoint") as folder:
                path = folder / "checkpoint"
                save_file(tensors, path, {_ABOUT: about})
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                uri = contract.checkpoint(self._store.uri, self._run, number, digest)
                with suppress(Exists):  # another attempt, thought dead, has written the very same
                    self._store.write_if_absent(name_in(self._store, uri), path)
            self._delete(number)
        except Exception as error:
            log.warning("WARNING: no checkpoint could be written, training goes on without: %s", error)
            return False
        return True

    def _delete(self, below: float) -> None:
        for number, _, blob in self._list():
            if number < below:
                self._store.delete_if_generation(blob.name, blob.generation)
