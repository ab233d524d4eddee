"""Progressive resizing: the first epochs of a training from scratch learn from pictures of half the side, in a third of the
time of one at the full side, and the next ones from three quarters of it, in three fifths of the time (Howard & Gugger 2020,
fastbook, chapter 7; Howard's entry to DAWNBench, 2018; in several steps Tan & Le 2021, arXiv:2104.00298).

Edges, textures and most of shapes are in them, for a quarter of the arithmetic. The last epochs, and all that is watched, are
at the full side: a network goes by how large things look, which these set right (Touvron et al. 2019, arXiv:1906.06423).
Weights that know pictures may be spoilt by smaller ones (fastbook again): a training that begins with such is at the full side.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import menagerie_contract as contract
import torch
from torch import nn
from torch.nn import functional

from model_service.training.fastai import Callback
from model_service.training.start import Start

LEAST = 96  # pixels; pictures of a smaller side are not made smaller: networks halve theirs five times
_MULTIPLE = 16  # of which a half is, rounded up

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sides:
    """The sides of what the epochs of a training learn from, in pixels: the `smaller` ones from the epoch `begin` on, one an
    epoch, else `full`. Epochs count from 0 through all cycles.
    """

    full: int
    smaller: tuple[int, ...]
    begin: int

    @property
    def end(self) -> int:
        """The epoch from which on all are full."""
        return self.begin + len(self.smaller)

    def of(self, epoch: int) -> int:
        return self.smaller[epoch - self.begin] if self.begin <= epoch < self.end else self.full


def quarters(side: int, number: int) -> int:
    """About so many quarters of it: two of 224 are 112, of 100 are 64."""
    return -(-side * number // (4 * _MULTIPLE)) * _MULTIPLE


def plan(step: contract.Train, start: Start, network: nn.Module, head: int) -> Sides:
    """What the step asks for, as far as weights, side and network allow it; says what it is. `head` epochs come before the
    cycle whose first ones are small.
    """
    full = step.image_size
    epochs = int(step.progressive * step.epochs + 1e-9)  # 0.29 · 100 is 28.999…
    none = Sides(full, (), head)
    if not epochs:
        return none
    if start.learned:
        log.info("all epochs are at %d px: smaller pictures are for training from scratch", full)
        return none
    if full < LEAST:
        log.info("all epochs are at %d px: half of that is too small to learn from", full)
        return none
    small, large = quarters(full, 2), quarters(full, 3)
    for side in (small, large):
        if why := _refused(network, side):
            log.info(
                "all epochs are at %d px, which takes longer: %s takes no pictures of %d px (%s)",
                *(full, step.network, side, why),
            )
            return none
    later = epochs // 4
    log.info(
        "of %d epochs %d learn from pictures of %d px, %d of %d px, the rest of %d",
        *(step.epochs, epochs - later, small, later, large, full),
    )
    return Sides(full, (small,) * (epochs - later) + (large,) * later, head)


def _refused(network: nn.Module, side: int) -> str:
    """Why the network cannot take pictures of that side; empty: it can."""
    learning = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(2, 3, side, side, device=next(network.parameters()).device))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    finally:
        network.train(learning)
    return ""


class Resizing(Callback):  # type: ignore[misc]  # fastai has no types
    """Makes the pictures that are learned from small in the epochs that want it, once they are augmented.

    Averaged over what they stand for (antialiased): otherwise they have patterns that no picture has.
    """

    order = 5  # after plain tensors are made of fastai's, before MixUp, and before anything is computed in 16 bits

    def __init__(self, sides: Sides, rows: list[Any]) -> None:
        """`rows` has one for each epoch that is done, and grows."""
        self._sides, self._rows = sides, rows

    def before_batch(self) -> None:
        side = self._sides.of(len(self._rows))
        if self.training and self.xb[0].shape[-1] != side:
            pictures = functional.interpolate(self.xb[0], size=(side, side), mode="bilinear", antialias=True)
            self.learn.xb = (pictures, *self.xb[1:])
