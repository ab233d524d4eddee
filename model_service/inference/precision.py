"""The numbers a model computes with, and which are used: those asked for, if this machine and the judge allow them."""

from __future__ import annotations

import functools
import logging
from typing import Literal

from model_service import registry
from model_service.inference import gpu
from model_service.inference.runtime import CORE

Precision = Literal["auto", "f32", "bf16", "int8"]
ONNX, INT8 = "model.onnx", "model.int8.onnx"  # the files of a model

log = logging.getLogger(__name__)


@functools.cache
def has_bf16() -> bool:
    """Whether this CPU computes with bfloat16; elsewhere OpenVINO would only imitate it."""
    return "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def best() -> tuple[Precision, str]:
    """What `auto` stands for on this machine, and why in a sentence."""
    if gpu.here():
        return "bf16", "auto is bf16: there is a GPU"
    if has_bf16():
        return "bf16", "auto is bf16: this CPU has it"
    return "f32", "auto is f32: this CPU has no bf16"


def chosen(models: str, version: str, wanted: Precision) -> tuple[Precision, str]:
    """What to classify with, never `auto`, and why in a sentence. Raises BadModel when there is no such model.

    int8 that no judge accepted gives what `auto` gives, as does bf16 on a machine without it: with a warning.
    """
    auto, why = best()
    if wanted == "auto":
        return auto, why
    if wanted == "int8":
        judged = registry.int8(models, version)
        if judged is None:
            refused = f"no judge has scored the int8 variant of {version}" + _lacking(models, version)
        elif not judged["accepted"]:
            refused = f"the judge did not accept the int8 variant of {version}: {judged['reason']}"
        else:
            return "int8", f"int8 as asked for: {judged['reason']}"
    elif wanted == "bf16" and auto != "bf16":
        refused = "this machine has no bf16"
    else:
        return wanted, f"{wanted} as asked for"
    sentence = f"{auto} instead of {wanted}: {refused}"
    log.warning("WARNING: %s", sentence)
    return auto, sentence


def _lacking(models: str, version: str) -> str:
    return "" if INT8 in registry.card(models, version)["files"] else ", which has none"
