"""Temperature scaling: how sure a network is, set right once by the validation part (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

_MOST = math.log(10)  # of a temperature's logarithm, up and down
_PRIOR = 0.5  # its standard deviation before any picture is seen: a few pictures, all right, prove no certainty


def temperature(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """What to divide the logits [n, classes] by so that they are likeliest to have given the classes' numbers [n].

    The most probable one a posteriori, its logarithm being normal around 0, from 0.1 to 10. So the log loss is never higher for
    it. In three digits: logits of other kernels, or of another number of threads, are to give the same one.
    """
    logits = logits.double()

    def cost(log: float) -> float:
        loss = functional.cross_entropy(logits / math.exp(log), targets, reduction="sum")
        return float(loss) + log**2 / (2 * _PRIOR**2)

    found = minimize_scalar(cost, bounds=(-_MOST, _MOST), method="bounded")
    rounded = float(f"{math.exp(found.x):.3g}")
    return rounded if cost(math.log(rounded)) < cost(0.0) else 1.0


def fold(temperature: float, network: nn.Sequential) -> None:
    """Divide its logits by that for good: the last layer, which has no bias, gives them in proportion to its weights."""
    with torch.no_grad():
        network[1][-1].weight.div_(temperature)  # type: ignore[index]
