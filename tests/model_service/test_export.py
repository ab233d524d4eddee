"""export: a file that says other than the network does is never saved."""

from __future__ import annotations

import numpy as np
import pytest

from model_service import registry
from model_service.errors import StepError
from model_service.inference import ONNX
from model_service.inference.runtime import CORE
from model_service.training import export
from tests.model_service.conftest import Trained

Answer = tuple[bytes, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def answer(trained: Trained) -> Answer:
    """An exported file, an example, and the file's own logits and embeddings."""
    data = registry.load(trained.buckets.models, trained.version, ONNX)
    example = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    model = CORE.compile_model(CORE.read_model(model=data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = model(example)
    return data, example, found[0].copy(), found[1].copy()


def test_the_outputs_have_names_and_any_number_of_pictures_goes_in(answer: Answer) -> None:
    data, _, logits, embedding = answer
    model = CORE.read_model(model=data)
    assert [output.any_name for output in model.outputs] == ["logits", "embedding"]
    assert model.input(0).partial_shape[0].is_dynamic
    assert (logits.shape, embedding.shape) == ((2, 3), (2, 512))


def test_a_file_that_says_what_the_network_does_passes(answer: Answer) -> None:
    export.check(*answer)
    data, example, logits, embedding = answer
    export.check(data, example, logits + 100, embedding)  # the same softmax


def test_a_file_that_says_something_else_is_refused(answer: Answer) -> None:
    data, example, logits, embedding = answer
    with pytest.raises(StepError, match=r"the exported model's probabilities differ from the trained one's by 0\."):
        export.check(data, example, np.zeros_like(logits), embedding)
    with pytest.raises(StepError, match=r"the exported model's embeddings differ from the trained one's by 0\.0"):
        export.check(data, example, logits, embedding * 1.01)
    with pytest.raises(StepError, match="differ from the trained one's by nan"):
        export.check(data, example, logits, embedding * np.float32("nan"))
