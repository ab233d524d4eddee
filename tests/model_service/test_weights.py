"""weights: what a training starts from, and that model.json can tell it by hash."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import torch
from safetensors.torch import save
from torchvision import models

from model_service import backbone, images, registry
from model_service.errors import StepError
from model_service.inference import WEIGHTS
from model_service.storage import StoreError
from model_service.training import cycles, weights
from model_service.training.start import Start
from tests.model_service.buckets import Buckets, make_buckets

NETWORK, SIDE = "shufflenet_v2_x0_5", 32


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def network(classes: int, name: str = NETWORK) -> tuple[torch.nn.Sequential, backbone.Backbone]:
    made = backbone.build(name, SIDE)
    return made.network(classes), made


def champion(buckets: Buckets, classes: list[str], **card: Any) -> dict[str, torch.Tensor]:
    """Save one as version v1; its weights."""
    state = network(len(classes))[0].state_dict()
    whole = {
        "architecture": NETWORK,
        "classes": classes,
        "preprocessing": {
            "version": images.PREPROCESSING,
            "size": SIDE,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
    }
    registry.save(buckets.models, "v1", {WEIGHTS: save(state)}, whole | card)
    return state


def put(buckets: Buckets, classes: list[str], **arguments: Any) -> tuple[dict[str, torch.Tensor], Start]:
    ours, made = network(len(classes))
    given = {"network": NETWORK, "image_size": SIDE, "weights": "none"} | arguments
    step = contract.Train(run="r1", models=buckets.models, result="", **given)
    return ours.state_dict(), weights.put(ours, made, classes, step)


# The champion


def test_from_the_champion_known_classes_keep_their_rows_by_name(buckets: Buckets) -> None:
    """`ant` is new, `dog` is gone: so cat and zebra stand at other places than before."""
    state = champion(buckets, ["cat", "dog", "zebra"])
    ours, start = put(buckets, ["ant", "cat", "zebra"], champion="v1")
    assert torch.equal(ours["1.8.weight"][1:], state["1.8.weight"][[0, 2]])
    assert not any(torch.equal(ours["1.8.weight"][0], row) for row in state["1.8.weight"])
    assert all(torch.equal(ours[name], state[name]) for name in state if name != "1.8.weight")
    file = registry.card(buckets.models, "v1")["files"][WEIGHTS]
    assert start == Start("champion", "v1", file["sha256"], ("ant",))
    assert (start.parent, str(start)) == ("v1", "v1")


def test_the_head_learns_alone_only_as_far_as_it_is_new(buckets: Buckets) -> None:
    champion(buckets, ["cat", "dog"])
    step = contract.Train(run="r1", models="", result="", epochs=5, freeze_epochs=2)

    def epochs(start: Start) -> list[int]:
        return [count for count, _ in cycles._cycles(step, start)]

    assert epochs(put(buckets, ["cat", "dog"], champion="v1")[1]) == [5]
    assert epochs(put(buckets, ["cat", "dog", "zebra"], champion="v1")[1]) == [2, 5]
    assert epochs(Start("imagenet", "some", "0", ("cat", "dog"))) == [2, 5]
    assert epochs(put(buckets, ["cat", "dog"])[1]) == [5], "from scratch there is nothing to hold still"


@pytest.mark.parametrize(
    ("card", "arguments", "why"),
    [
        ({"architecture": "resnet18"}, {}, "it is a resnet18, this is to be a shufflenet_v2_x0_5"),
        ({}, {"image_size": 64}, "it sees 32 pixels, this is to see 64"),
        ({}, {"known": ["ant", "bee"]}, "it knows none of the classes"),
    ],
)
def test_a_champion_that_does_not_fit_is_said_loudly_and_not_started_from(
    buckets: Buckets, card: dict[str, Any], arguments: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    champion(buckets, arguments.get("known", ["cat", "dog"]), **card)
    side = arguments.get("image_size", SIDE)
    _, start = put(buckets, ["cat", "dog"], champion="v1", image_size=side)
    assert start == Start("none", fresh=("cat", "dog"))
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        f"WARNING: NOT starting from the champion v1: {why}"
    ]


def test_without_warm_start_the_champion_is_not_asked(buckets: Buckets) -> None:
    _, start = put(buckets, ["cat", "dog"], champion="no such version", warm_start=False)
    assert start.kind == "none"


def test_a_damaged_champion_is_an_error_and_not_a_start_from_scratch(buckets: Buckets) -> None:
    champion(buckets, ["cat", "dog"])
    file = buckets.fetched(f"{contract.model(buckets.models, 'v1')}/{WEIGHTS}")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(registry.BadModel, match="its sha256 differs"):
        put(buckets, ["cat", "dog"], champion="v1")


# A file


@pytest.mark.parametrize("named", ["torchvision", "ours"])
def test_a_file_s_names_are_torchvision_s_or_ours(buckets: Buckets, tmp_path: Path, named: str) -> None:
    theirs = models.get_model(NETWORK, weights=None)
    state = theirs.state_dict() if named == "torchvision" else network(7)[0].state_dict()
    file = tmp_path / "weights.safetensors"
    file.write_bytes(save(state))
    ours, start = put(buckets, ["cat", "dog"], weights=file.as_uri())
    first = state["conv1.0.weight" if named == "torchvision" else "0.0.0.weight"]
    assert torch.equal(ours["0.0.0.weight"], first)
    assert start == Start("file", file.as_uri(), hashlib.sha256(file.read_bytes()).hexdigest(), ("cat", "dog"))
    assert (start.parent, start.freezes) == (None, True)


def test_a_file_that_is_not_there_or_no_safetensors_or_another_network_s_is_an_error(
    buckets: Buckets, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    with pytest.raises(StepError, match=r"no weights: file:///.*weights\.safetensors does not exist"):
        put(buckets, ["cat", "dog"], weights=file.as_uri())
    torch.save({"conv1.0.weight": torch.zeros(1)}, file)
    with pytest.raises(StepError, match="is no safetensors file") as caught:
        put(buckets, ["cat", "dog"], weights=file.as_uri())
    assert "safetensors.torch.save_file" in caught.value.remedy
    file.write_bytes(save(network(2, "mobilenet_v3_small")[0].state_dict()))
    with pytest.raises(StepError, match="these are no weights of shufflenet_v2_x0_5"):
        put(buckets, ["cat", "dog"], weights=file.as_uri())
    with pytest.raises(StoreError, match="'imagenet' is not an object"):
        put(buckets, ["cat", "dog"], weights="imagenet")


# ImageNet


def test_imagenet_s_weights_are_told_by_name_and_hash(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made up here, where torchvision keeps what it has fetched."""
    file = tmp_path / "hub/checkpoints" / models.get_model_weights(NETWORK).DEFAULT.url.rsplit("/", 1)[1]
    file.parent.mkdir(parents=True)
    state = models.get_model(NETWORK, weights=None).state_dict()
    torch.save(state, file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    ours, start = put(buckets, ["cat", "dog"], weights="auto")
    assert torch.equal(ours["0.0.0.weight"], state["conv1.0.weight"])
    name = "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"
    assert start == Start("imagenet", name, hashlib.sha256(file.read_bytes()).hexdigest(), ("cat", "dog"))


def test_of_another_content_than_tensors_nothing_is_unpickled(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "hub/checkpoints" / models.get_model_weights(NETWORK).DEFAULT.url.rsplit("/", 1)[1]
    file.parent.mkdir(parents=True)
    torch.save({"conv1.0.weight": Trap(tmp_path / "sprung")}, file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _, start = put(buckets, ["cat", "dog"], weights="auto")
    assert start.kind == "none"
    assert "FROM SCRATCH" in caplog.text
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self._path,)


def test_timm_s_weights_out_of_reach_are_said_too(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    made = backbone.build("test_resnet", SIDE)
    step = contract.Train(run="r1", models=buckets.models, result="", network="test_resnet", image_size=SIDE)
    assert weights.put(made.network(2), made, ["cat", "dog"], step).kind == "none"
    assert "FROM SCRATCH" in caplog.text
    assert "Allow huggingface.co" in caplog.text
