"""A training as a run of Weights & Biases: its arguments, figures by epoch, and the files that tell of the model."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.training.tracking.secrets import scrubbed

PROJECT = "menagerie"  # unless WANDB_PROJECT says another
_EXIT = {"finished": 0, "failed": 1, "killed": 143}
_PLACES = ("CACHE", "CONFIG", "DATA")
_SECONDS = 50.0  # for its last words

log = logging.getLogger(__name__)


class Wandb:
    """Raises StepError where the package is missing."""

    name = "Weights & Biases"

    def __init__(self, step: contract.Train, folder: Path) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise StepError(
                "WANDB_API_KEY is set, and the package wandb is not installed",
                remedy="add wandb to requirements.txt and run make lock env, or unset WANDB_API_KEY",
            )
        self._step = step
        self._place = Path(os.environ.get("WANDB_DIR") or folder / "wandb")
        self._place.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")
        for place in _PLACES:  # else at home, which cannot be written to in a pod
            os.environ.setdefault(f"WANDB_{place}_DIR", str(folder / f"wandb-{place.lower()}"))
        import wandb

        self._wandb: Any = wandb
        if os.environ.get("WANDB_MODE") == "offline" and "WANDB_DIR" not in os.environ:
            log.warning("WARNING: WANDB_MODE=offline without WANDB_DIR: what it keeps is gone with the training")

    def begin(self) -> None:
        step = self._step
        settings = self._wandb.Settings(
            silent=True,
            console="off",  # the log is the step's
            disable_git=True,  # a remote's address may have a login in it
            disable_code=True,
            init_timeout=30,
            finish_timeout=_SECONDS,
            finish_timeout_raises=True,
        )
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            # Another attempt goes on with the same run.
            id=hashlib.sha256(f"{step.models}/{step.run}".encode()).hexdigest()[:16],
            resume="allow",
            name=step.run,
            dir=str(self._place),
            config={name: scrubbed(str(v)) if isinstance(v, str) else v for name, v in asdict(step).items()},
            settings=settings,
        )

    def epoch(self, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=int(figures["epoch"]))

    def saved(self, version: str, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        self._run.summary.update({"version": version} | {f"validation_{name}": v for name, v in metrics.items()})
        kept = Path(self._run.dir)
        for name, data in files.items():
            path = kept / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self._run.save(str(path), base_path=str(kept), policy="now")

    def end(self, how: str) -> None:
        self._run.finish(exit_code=_EXIT[how])
