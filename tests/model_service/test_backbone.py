"""backbone: networks of torchvision's and timm's by name, and each through to the files that predict and serve load."""

from __future__ import annotations

import warnings
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
import torch
from safetensors.torch import load
from torchvision import models

from model_service import backbone, images
from model_service.errors import StepError
from model_service.inference import Network, gpu
from model_service.training import export, learner, quantise
from model_service.training.dataset import Dataset
from tests.model_service.test_inference import views


def test_resnet34_is_the_one_of_fastai_s_vision_learner() -> None:
    """The same names, shapes and answers; training it before was nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fastai.vision.all import DataLoaders, vision_learner
    dls = DataLoaders.from_dsets([0] * 4, [0] * 4, bs=2, device=torch.device("cpu"))
    loss = torch.nn.CrossEntropyLoss()
    theirs = vision_learner(dls, models.resnet34, pretrained=False, normalize=False, n_out=3, loss_func=loss).model
    ours = backbone.build("resnet34", 64).network(3)
    theirs.load_state_dict(ours.state_dict())
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(pixels), theirs.eval()(pixels), atol=1e-5)
    fresh = {name: tensor.std().item() for name, tensor in ours[1].state_dict().items() if tensor.dim() == 2}
    init = {name: tensor.std().item() for name, tensor in theirs[1].state_dict().items() if tensor.dim() == 2}
    assert fresh == pytest.approx(init, rel=0.1)


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "regnet_y_400mf"])
def test_a_body_is_torchvision_s_network_up_to_where_it_pools(name: str) -> None:
    """Its weights come by the names that torchvision gives them; the classifier's are left."""
    whole = models.get_model(name, weights=None).eval()
    made = backbone.build(name, 64)
    made.load(whole.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found = made.body(pixels)
        last = [module for module in whole.modules() if isinstance(module, torch.nn.Linear)][-1]
        kept: list[Any] = []
        last.register_forward_hook(lambda _m, given, _out: kept.append(given[0]))
        whole(pixels)
    assert found.shape[:2] == (1, made.features)
    if name != "mobilenet_v3_small":  # whose classifier has a layer more
        assert torch.allclose(found.mean((2, 3)), kept[0], atol=1e-5)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet.r160_in1k"])
def test_timm_s_networks_come_pooled_and_for_the_size_of_the_pictures(name: str) -> None:
    made = backbone.build(name, 64)
    assert not made.spatial
    with torch.no_grad():
        assert made.body(torch.randn(2, 3, 64, 64)).shape == (2, made.features)
    assert made.network(5).eval()(torch.randn(2, 3, 64, 64)).shape == (2, 5)


def test_what_is_no_network_or_no_body_is_said() -> None:
    with pytest.raises(StepError, match="no network 'resnet35' in torchvision or timm") as caught:
        backbone.build("resnet35", 64)
    assert "timm.list_models()" in caught.value.remedy
    with pytest.raises(StepError, match="vit_b_16 cannot be a body for pictures of 64 pixels: Expected"):
        backbone.build("vit_b_16", 64)
    with pytest.raises(StepError, match="googlenet cannot be a body"):
        backbone.build("googlenet", 64)


def test_another_network_s_weights_are_refused() -> None:
    made = backbone.build("resnet18", 64)
    with pytest.raises(StepError, match=r"no weights of resnet18: \d+ of its 120 are missing, e.g. 0.weight"):
        made.load(models.get_model("shufflenet_v2_x0_5", weights=None).state_dict())
    wider = {name: torch.cat([tensor, tensor]) for name, tensor in made.body.state_dict().items() if tensor.dim()}
    with pytest.raises(StepError, match=r"0\.weight is \[128, 3, 7, 7\], not \[64, 3, 7, 7\]"):
        made.load({f"0.{name}": tensor for name, tensor in wider.items()})
    with pytest.raises(StepError, match="no weights of resnet18"):
        made.load({})


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "test_vit"])
def test_another_backbone_becomes_all_the_files_of_a_model_and_they_agree(name: str) -> None:
    """Of torchvision and of timm: safetensors, ONNX, its int8 variant, and what a GPU computes."""
    side = 64
    pictures = np.random.default_rng(0).integers(0, 256, (12, side, side, 3), dtype=np.uint8)
    data = Dataset(pictures, ["cat", "dog", "zebra"] * 4, [f"{n:020x}" for n in range(12)])
    step = contract.Train(
        run="r1", models="", result="", network=name, image_size=side, batch_size=4, weights="none", validation=0.25
    )
    learn, _ = learner.build(data, step)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    weights, onnx = export.safetensors(learn.model), export.onnx(learn.model, side)
    preprocessing = {"version": images.PREPROCESSING, "size": side, "mean": learner.MEAN, "std": learner.STD}
    card = {"classes": data.classes, "preprocessing": preprocessing}
    exact = Network("r1", card, onnx)
    eight = Network("r1", card, quantise.int8(onnx, (exact.normalised(picture) for picture in pictures)))
    on_gpu = Network("r1", card, gpu.engine(weights, "f32", "cpu", name=name, side=side))
    assert load(weights).keys() == learn.model.state_dict().keys()
    assert exact.dimensions == eight.dimensions == on_gpu.dimensions == backbone.HIDDEN
    for view in views(side, 4):
        assert np.allclose(exact.probabilities(view), on_gpu.probabilities(view), atol=1e-3)
        assert np.allclose(exact.probabilities(view), eight.probabilities(view), atol=0.15)
