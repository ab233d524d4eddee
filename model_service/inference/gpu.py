"""A model on a GPU: torch on the safetensors file, no pickle. The website's image has no torch and never comes here."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import menagerie_contract as contract

if TYPE_CHECKING:
    from model_service.inference.network import Engine
    from model_service.inference.precision import Precision

WEIGHTS = "model.safetensors"
DRIVERS = ("/dev/nvidiactl", "/dev/dxg")  # Linux, and Windows' Linux


@functools.cache
def here() -> bool:
    """Whether there is a GPU that torch can use. Torch, which takes seconds to import, is asked only beside a driver."""
    if not any(Path(driver).exists() for driver in DRIVERS) or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def engine(
    weights: bytes, precision: Precision, device: str = "cuda", *, name: str = contract.ARCHITECTURE, side: int = 224
) -> Engine:
    """What computes with a safetensors file of the backbone `name` for pictures of `side` pixels; `auto` is bf16.

    Raises BadModel when it holds another network's weights.
    """
    from model_service.inference import torch_network

    return torch_network.TorchEngine(weights, "bf16" if precision == "auto" else precision, device, name, side)
