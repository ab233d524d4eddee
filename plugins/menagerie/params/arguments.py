"""A step's argument as a field of the form: its type, default and bounds are the contract's."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import Param
from menagerie_contract.step import LARGEST

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def argument(step: type[contract.Step], name: str, title: str, description: str, **more: Any) -> Param:
    """`more`: what differs from the contract, as the keywords of Param (`default` among them)."""
    field = next(field for field in dataclasses.fields(step) if field.name == name)
    kind = typing.get_type_hints(step)[name]
    schema: dict[str, Any] = {"title": title, "description": description}
    if typing.get_origin(kind) is Literal:
        schema["enum"] = list(typing.get_args(kind))
    else:
        schema["type"] = _TYPES[kind]
    if kind in (int, float):
        bounds = {"minimum": field.metadata["least"], "maximum": field.metadata["most"]}
        schema |= {key: bound for key, bound in bounds.items() if abs(bound) != LARGEST}
    return Param(more.pop("default", field.default), **schema | more)
