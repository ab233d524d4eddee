"""The int8 variant of a model: weights and the convolutions' inputs in eight bits, by what a few training pictures showed.

Static, as ONNX with QuantizeLinear and DequantizeLinear, from which OpenVINO makes int8 kernels. What follows the
convolutions, a few small layers, stays float32: it costs no time, and embeddings stay close to the ones of the model itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from model_service.scratch import scratch

PICTURES = 128  # 64 do as well; of 16 the ranges are so narrow that some pictures come out far off
_OPTIONS = {
    # Zero is 0 or 128: for any other one the kernels would have to compute more.
    "ActivationRestrictedAsymmetric": True,
    # Between a convolution and what is added to it nothing is rounded: the kernels add before they round.
    "OpTypesToExcludeOutputQuantization": ["Conv"],
}


def choose(keys: Sequence[str], learned: Sequence[int], seed: int) -> list[int]:
    """Indices of the pictures to calibrate with: some of those learned from, by hash. The holdout is not among the keys."""
    order = sorted(learned, key=lambda i: hashlib.sha256(f"{seed}/{keys[i]}".encode()).digest())
    return order[:PICTURES]


def int8(model: bytes, pictures: Iterable[NDArray[np.float32]]) -> bytes:
    """The variant of an ONNX model (export.onnx), calibrated with normalised pictures [1, 3, size, size].

    A range reaches from the smallest to the largest value seen: means of them agree a little more often, but cut pictures
    with rare large values so that they come out as something else altogether (docs/decisions/0008).
    """
    with scratch("quantise") as folder:
        quantised = folder / "model.int8.onnx"
        prepared = onnx.load_from_string(model)
        add_pre_process_metadata(prepared)  # it is: the exporter has folded what can be folded
        quantize_static(
            prepared,
            quantised,
            _Reader(iter(pictures)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            # CPUs without VNNI add two products of 8 bits in 16, which only 7-bit weights never overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options=_OPTIONS,
        )
        return quantised.read_bytes()


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # has no types
    def __init__(self, pictures: Iterator[NDArray[np.float32]]) -> None:
        self._pictures = pictures

    def get_next(self) -> dict[str, Any] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {"pictures": picture}
