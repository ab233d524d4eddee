"""The best weights of a training so far, by the validation part: what it ends with, and when it is no use to go on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

Rows = Sequence[Sequence[float]]  # an epoch each: train loss, validation loss, accuracy
_LOSS = 1
MODEL, _BEST = "model.", "best."  # what the tensors of a checkpoint begin with


def of(rows: Rows) -> int | None:
    """The epoch with the least validation loss, the first of equals; None while there was none that is a number."""
    finite = [n for n, row in enumerate(rows) if math.isfinite(row[_LOSS])]
    return min(finite, key=lambda n: rows[n][_LOSS], default=None)


def stops(rows: Rows, counted: int, patience: int) -> str:
    """Why training is to stop after these epochs, of which only the last `counted` try its patience; empty: it goes on."""
    if math.isnan(rows[-1][_LOSS]):
        return "the validation loss is not a number"
    found = of(rows)
    worse = min(counted, len(rows) if found is None else len(rows) - 1 - found)
    return f"{worse} epochs were no better than the best one" if patience and worse >= patience else ""


class Best:
    """Its weights, in the machine's memory; none before the first epoch's end."""

    def __init__(self, tensors: Mapping[str, torch.Tensor] | None = None, at_best: bool = False) -> None:
        """`tensors` are a checkpoint's, if there is one; taken `at_best`, it has them as the network's own alone."""
        prefix = MODEL if at_best else _BEST
        self._kept = {n.removeprefix(prefix): t for n, t in (tensors or {}).items() if n.startswith(prefix)}

    def keep(self, network: nn.Module) -> None:
        """Those of now, as its last epoch is the best one."""
        self._kept = {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        return {_BEST + name: tensor for name, tensor in self._kept.items()}

    def put_into(self, network: nn.Module) -> None:
        if self._kept:
            network.load_state_dict(self._kept)
