"""The numbers that training computes with: 32 bits, or 16 where the machine is faster with them and the weights stay in 32.

fastai's own callbacks compute mixed on Nvidia's GPUs alone, and keep no scale over a resume.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import menagerie_contract as contract
import torch

from model_service.inference.precision import has_bf16
from model_service.training.fastai import Callback, CancelStepException

Numbers = Literal["f32", "bf16", "f16"]
_TYPES: dict[Numbers, torch.dtype] = {"bf16": torch.bfloat16, "f16": torch.float16}


def chosen(step: contract.Train, device: torch.device) -> Numbers:
    """What `auto` stands for on this device: f16, whose range is narrow, only on GPUs that are too old for bf16."""
    if step.numbers != "auto":
        return step.numbers
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f16"
    return "bf16" if has_bf16() else "f32"


@contextmanager
def repeatable(step: contract.Train) -> Iterator[None]:
    """With step.deterministic: sums are computed in one order, whatever else the machine does and how many cores it has.

    One thread, hence slower by as many cores as there are; on GPUs the kernels that repeat, where others are faster.
    """
    if not step.deterministic:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
            yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's matrices are summed in one order only so
    threads, before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)


class Mixed(Callback):  # type: ignore[misc]  # fastai has no types
    """The network computes with `numbers`; losses, gradients' sums and weights stay in 32 bits.

    f16 needs its losses scaled: by how much is a part of where a training stands (`state`).
    """

    order = 10  # where fastai's own stands

    def __init__(self, numbers: Numbers, device: torch.device) -> None:
        self._device, self._type = device.type, _TYPES[numbers]
        self._scaler = torch.amp.GradScaler(device.type, enabled=numbers == "f16")

    def state(self) -> dict[str, Any]:
        """Numbers that JSON can hold; none where nothing is scaled."""
        state: dict[str, Any] = self._scaler.state_dict()
        return state

    def put_back(self, state: dict[str, Any]) -> None:
        if state:
            self._scaler.load_state_dict(state)

    def before_batch(self) -> None:
        self._computing = torch.autocast(self._device, self._type)
        self._computing.__enter__()  # type: ignore[no-untyped-call]

    def after_pred(self) -> None:
        self._computing.__exit__(None, None, None)
        self.learn.pred = self.pred.float()

    def before_backward(self) -> None:
        self.learn.loss_grad = self._scaler.scale(self.loss_grad)

    def before_step(self) -> None:
        self._stepped = False
        self._scaler.step(self)  # calls step() below, unless a gradient is out of range
        if not self._stepped:
            raise CancelStepException

    def after_step(self) -> None:
        """Of a cancelled step too: the scale is then lowered."""
        self._scaler.update()

    @property
    def param_groups(self) -> Any:
        """For the scaler, to which this is the optimiser."""
        return self.opt.param_groups

    def step(self, *_: Any, **__: Any) -> None:
        """The gradients are within range: fastai takes the step itself."""
        self._stepped = True
