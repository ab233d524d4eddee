"""The best weights of a training so far, by the validation part: what it ends with, and when it is no use to go on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

Rows = Sequence[Sequence[float]]  # an epoch each: train loss, validation loss, accuracy
_LOSS, _ACCURACY = 1, 2
_ROUNDING = 1e-6  # of an accuracy in 32 bits
MODEL, _BEST = "model.", "best."  # what the tensors of a checkpoint begin with


def of(rows: Rows, pictures: int) -> int | None:
    """The last epoch whose accuracy on so many `pictures` is within a standard error, or one picture, of the highest (Breiman
    et al. 1984, section 3.4.3); None while there was none whose loss is a number.

    An epoch that looks better by less than that is so by chance; the later one has learned more.
    """
    finite = [n for n, row in enumerate(rows) if math.isfinite(row[_LOSS])]
    if not finite:
        return None
    highest = max(rows[n][_ACCURACY] for n in finite)
    error = max(math.sqrt(highest * (1 - highest) / pictures), 1 / pictures)
    return max(n for n in finite if rows[n][_ACCURACY] >= highest - error - _ROUNDING)


def stops(rows: Rows, counted: int, patience: int) -> str:
    """Why training is to stop after these epochs, of which only the last `counted` try its patience; empty: it goes on.

    The loss tells sooner than the accuracy that there is no more to learn (Prechelt 1998, "Early stopping - but when?").
    """
    losses = [row[_LOSS] for row in rows]
    if math.isnan(losses[-1]):
        return "the validation loss is not a number"
    least = min((loss for loss in losses if math.isfinite(loss)), default=None)
    higher = min(counted, len(losses) if least is None else len(losses) - 1 - losses.index(least))
    return f"the validation loss has not fallen for {higher} epochs" if patience and higher >= patience else ""


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
