"""quantise: an int8 variant that says nearly the same, made with training pictures only."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from model_service import images, registry
from model_service.inference import INT8, ONNX, Classifier
from model_service.inference.runtime import CORE
from model_service.training import quantise
from tests.model_service.buckets import CLASSES, square
from tests.model_service.conftest import Trained
from tests.model_service.test_inference import views


def test_the_pictures_to_calibrate_with_are_some_of_those_learned_from_and_always_the_same() -> None:
    keys = [f"{n:020x}" for n in range(1000)]
    learned = list(range(0, 1000, 2))
    chosen = quantise.choose(keys, learned, 42)
    assert len(set(chosen)) == len(chosen) == quantise.PICTURES
    assert set(chosen) < set(learned)
    assert quantise.choose(keys, learned, 42) == chosen
    assert quantise.choose(keys, learned, 43) != chosen
    assert sorted(quantise.choose(keys, learned[:5], 42)) == learned[:5], "all there are"


def test_every_convolution_is_int8_and_the_head_is_not(trained: Trained) -> None:
    model = onnx.load_from_string(registry.load(trained.buckets.models, trained.version, INT8))
    onnx.checker.check_model(model)
    made = {name: node for node in model.graph.node for name in node.output}
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv", "Gemm"} <= kinds
    for node in model.graph.node:
        feeds = [made[name].op_type for name in node.input[:2] if name in made]
        if node.op_type == "Conv":
            assert feeds == ["DequantizeLinear", "DequantizeLinear"], "picture and weights"
        elif node.op_type == "Gemm":
            assert "DequantizeLinear" not in feeds
    assert [output.name for output in model.graph.output] == ["logits", "embedding"]
    size = {name: trained.card["files"][name]["bytes"] for name in (ONNX, INT8)}
    assert size[INT8] < size[ONNX] / 3


def test_openvino_computes_it_with_eight_bits(trained: Trained) -> None:
    model = CORE.read_model(model=registry.load(trained.buckets.models, trained.version, INT8))
    model.reshape([1, 3, 32, 32])
    ran = CORE.compile_model(model, "CPU").get_runtime_model().get_ordered_ops()
    kinds = {op.get_rt_info()["layerType"].astype(str) for op in ran}
    convolutions = [op for op in ran if op.get_rt_info()["layerType"].astype(str) == "Convolution"]
    weights = [op.input_value(1).get_element_type().get_type_name() for op in convolutions]
    assert "Convolution" in kinds
    assert set(weights) == {"i8"}


def test_it_says_nearly_the_same(trained: Trained) -> None:
    exact = Classifier(trained.buckets.models, trained.version)
    quantised = Classifier(trained.buckets.models, trained.version, precision="int8")
    for label, n in itertools.product(CLASSES, range(20, 24)):  # like those it was calibrated with
        view = images.seen(square(label, n), images.Limits(), exact.size)
        ours, theirs = exact.infer(view), quantised.infer(view)
        assert ours.embedding is not None
        assert theirs.embedding is not None
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=0.1)
        angle = theirs.embedding @ ours.embedding / np.linalg.norm(theirs.embedding) / np.linalg.norm(ours.embedding)
        assert angle > 0.98


def test_the_same_pictures_make_the_same_file_and_nothing_is_told(
    trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    network = Classifier(trained.buckets.models, trained.version)
    model = registry.load(trained.buckets.models, trained.version, ONNX)

    def made(seen: list[NDArray[np.uint8]]) -> bytes:
        return quantise.int8(model, (network.normalised(view) for view in seen))

    with caplog.at_level(logging.INFO):
        first = made(views(network.size, 4))
    assert caplog.messages == []
    assert made(views(network.size, 4)) == first
    assert made(views(network.size, 5)[1:]) != first
