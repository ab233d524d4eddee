"""What a model is made of: a body, torchvision's or timm's by its name, and fastai's head on it. Plain torch, no fastai.

The names of the weights are those of fastai's vision_learner: `0.…` the body's, `1.…` the head's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torchvision import models

from model_service.errors import StepError

HIDDEN = 512  # length of an embedding, the last layer's input
_AFTER = {"avgpool", "classifier", "fc", "heads"}  # what torchvision's networks call that which follows the body
_WITH_HEADS = {"googlenet", "inception_v3"}
_OLD = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")  # as torchvision's files of densenets still have it
_OTHER = "name another one: torchvision.models.list_models() and timm.list_models() tell them"


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier: pictures [n, 3, side, side] → features [n, `features`, height, width].

    Where it is not `spatial` they are pooled already: [n, `features`]. `prefixes` lead from the names that its weights have
    in torchvision or timm to the ones here.
    """

    name: str
    body: nn.Module
    features: int
    spatial: bool
    prefixes: Mapping[str, str]

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take weights that are named as torchvision or timm do, or as model.safetensors; a classifier's are left.

        Raises StepError when they are another network's.
        """
        own = self.body.state_dict()
        renamed = {name: tensor for name, tensor in self._renamed(state).items() if name in own}
        missing = [name for name in own if name not in renamed and not name.endswith("num_batches_tracked")]
        if missing:
            raise StepError(
                f"these are no weights of {self.name}: {len(missing)} of its {len(own)} are missing, e.g. {missing[0]}",
                remedy="name a file of the same network, or set --network to the file's",
            )
        other = next((name for name, tensor in renamed.items() if tensor.shape != own[name].shape), None)
        if other is not None:
            raise StepError(
                f"these are no weights of {self.name}: {other} is {list(renamed[other].shape)}, not {list(own[other].shape)}",
                remedy="name a file of the same network, or set --network to the file's",
            )
        self.body.load_state_dict(renamed, strict=False)

    def _renamed(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if all(name.startswith(("0.", "1.")) for name in state):
            return {name.removeprefix("0."): tensor for name, tensor in state.items() if name.startswith("0.")}
        return {
            new + _OLD.sub(r"\1\2.", name).removeprefix(old): tensor
            for name, tensor in state.items()
            for old, new in self.prefixes.items()
            if name.startswith(old)
        }

    def network(self, classes: int) -> nn.Sequential:
        """With a new head: [n, 3, side, side] → logits [n, classes]. Chance decides its weights."""
        return nn.Sequential(self.body, _head(self.features, self.spatial, classes))


class Pool(nn.Module):
    """The largest and the mean value of each feature: [n, f, height, width] → [n, 2 f].

    fastai's AdaptiveConcatPool2d, but of operations that a GPU can repeat bit for bit.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)


class _Pooled(nn.Module):
    """A network of timm's without its classifier, named as fastai does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.model(x)
        return pooled


def _head(features: int, spatial: bool, classes: int) -> nn.Sequential:
    """fastai's, with its initial weights."""
    length = 2 * features if spatial else features
    hidden, last = nn.Linear(length, HIDDEN, bias=False), nn.Linear(HIDDEN, classes, bias=False)
    first, second = nn.BatchNorm1d(length), nn.BatchNorm1d(HIDDEN)
    for linear in (hidden, last):
        nn.init.kaiming_normal_(linear.weight)
    for norm in (first, second):
        nn.init.constant_(norm.bias, 1e-3)
    layers = [first, nn.Dropout(0.25), hidden, nn.ReLU(inplace=True), second, nn.Dropout(0.5), last]
    return nn.Sequential(*([Pool(), nn.Flatten()] if spatial else []), *layers)


def build(name: str, side: int, *, pretrained: bool = False) -> Backbone:
    """The network of that name, for pictures of `side` pixels; torchvision's where both have one of that name.

    Its weights are random, or with `pretrained` (timm's alone) fetched. Raises StepError for a name that none has, and for a
    network that cannot be a body.
    """
    if name in models.list_models(module=models):
        return _of_torchvision(name, side)
    import timm  # takes a second

    if not timm.is_model(name):
        raise StepError(f"there is no network {name!r} in torchvision or timm", remedy=_OTHER)
    known = timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": side} if known is not None and known.fixed_input_size else {}
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0, **size).eval()
        with torch.no_grad():
            shape = model(torch.zeros(1, 3, side, side)).shape
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        if pretrained:
            raise
        raise _no_body(name, side, error) from error
    if len(shape) != 2:
        raise _no_body(name, side, f"it gives {list(shape)}")
    return Backbone(name, _Pooled(model), shape[1], False, {"": "model."})


def _of_torchvision(name: str, side: int) -> Backbone:
    if name in _WITH_HEADS:
        raise _no_body(name, side, "it has heads in its middle")
    network = models.get_model(name, weights=None)
    names = [child for child, _ in network.named_children()]
    names = names[: next(i for i, child in enumerate(names) if child in _AFTER)]
    body = nn.Sequential(*(network.get_submodule(child) for child in names)).eval()
    try:
        with torch.no_grad():
            shape = body(torch.zeros(1, 3, side, side)).shape
    except (AssertionError, ValueError, RuntimeError) as error:
        raise _no_body(name, side, error) from error
    if len(shape) != 4 or shape[2] != shape[3]:
        raise _no_body(name, side, f"it gives {list(shape)}")
    return Backbone(name, body, shape[1], True, {f"{child}.": f"{i}." for i, child in enumerate(names)})


def _no_body(name: str, side: int, why: object) -> StepError:
    line = str(why).strip().splitlines()[0] if str(why).strip() else type(why).__name__
    return StepError(f"{name} cannot be a body for pictures of {side} pixels: {line}", remedy=_OTHER)
