"""What a step is: a frozen dataclass whose fields, each with its help text and bounds, are its command line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

VERSION = "3"
LARGEST = 10**9  # no number that a step is told is larger: neither infinity nor what no machine can count in


class ContractError(Exception):
    """A command line that this contract does not allow; the text says which argument and what to do."""


def arg(
    doc: str,
    default: Any = dataclasses.MISSING,
    *,
    least: float = -LARGEST,
    most: float = LARGEST,
    positional: bool = False,
) -> Any:
    """A step's argument with its help text; without a default it is required. Numbers are from `least` to `most`. One that is
    `positional` may also be given by its place, without its name.
    """
    return field(default=default, metadata={"doc": doc, "least": least, "most": most, "positional": positional})


@dataclass(frozen=True, kw_only=True)
class Step:
    name: ClassVar[str]
    converges: ClassVar[bool] = False  # whether it is run again although it succeeded before, since the world moves on

    contract: str = arg("version of the contract the caller speaks", VERSION)

    def argv(self) -> list[str]:
        """The command line after `python -m model_service`, e.g. `["sort", "--contract=3", "--run=…"]`."""
        words = [self.name]
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            flag = f"--{f.name.replace('_', '-')}"
            if isinstance(value, bool):
                words += [flag] if value else [f"{flag}=false"] if f.default else []
                continue
            words += [f"{flag}={one}" for one in (value if isinstance(value, tuple) else (value,))]
        return words


@dataclass(frozen=True, kw_only=True)
class Batch(Step):
    """A step that runs to its end and says how it went in a result document, written last."""

    run: str = arg("name of the pipeline run; everything the step writes stands under it")
    models: str = arg("URI of the bucket with batches, ledger, models and results, e.g. gs://animals_models")
    result: str = arg("URI of the result document, written last: the only proof of success")
