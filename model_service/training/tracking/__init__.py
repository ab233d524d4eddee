"""How a training is told of: TensorBoard's events, the history, the model's card; MLflow and Weights & Biases where set.

    with Tracking(step, folder) as tracking:  # refuses at once what it cannot do
        …fit with tracking.callback()…
        told = tracking.finish(card, data, targets, probabilities, history, model)
        …save the model with `told`…
        tracking.saved(version)

Whatever the servers do, the training ends as it would have ended without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import menagerie_contract as contract
import numpy as np
import torch
from numpy.typing import NDArray

from model_service.evaluation.metrics import Predictions, measure
from model_service.training import card as model_card
from model_service.training import distributed
from model_service.training.dataset import Dataset
from model_service.training.tracking import curves, events, servers
from model_service.training.tracking.watch import Watch


class Tracking:
    """Of one training; `folder` is for its use, on this machine's disk. Raises StepError where a package is missing."""

    def __init__(self, step: contract.Train, folder: Path) -> None:
        self._step, self._folder = step, folder
        self._servers = servers.wanted(step, folder) if distributed.rank() == 0 else servers.Servers([])
        self._watch = Watch(self._servers.epoch)
        self._told: dict[str, bytes] = {}
        self._metrics: dict[str, float] = {}

    def __enter__(self) -> Tracking:
        self._servers.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._servers.end(error)

    def callback(self) -> Watch:
        """The fastai callback that records; the same one for all cycles."""
        return self._watch

    def finish(
        self,
        card: dict[str, Any],
        data: Dataset,
        targets: torch.Tensor | NDArray[np.int64],
        probabilities: torch.Tensor | NDArray[np.float32],
        history: Sequence[dict[str, float]],
        model: torch.nn.Module,
    ) -> dict[str, bytes]:
        """The files that tell of the model, by name.

        `targets` int [n] and `probabilities` float [n, classes] are of the validation part (data.parts), in its order;
        `card` is what model.json will say, `history` a row an epoch, `model` the trained network.
        """
        true, given = np.asarray(targets), np.asarray(probabilities, np.float32)
        classes: list[str] = card["classes"]
        predictions = Predictions([classes[i] for i in true], [classes[i] for i in given.argmax(axis=1)], given)
        metrics = measure(predictions, classes)
        watched = data.parts(self._step.validation, self._step.seed)[1]
        shown = model_card.samples(data.views, watched, data.keys, predictions)
        page = model_card.Page(card, metrics, history, self._step, shown)
        text = page.markdown()
        self._metrics = {name: metrics[name] for name in ("accuracy", "log_loss", "ece") if metrics[name] is not None}
        answered = events.Watched(data, watched, predictions, metrics)
        self._told = {
            model_card.MARKDOWN: text.encode(),
            model_card.HTML: page.html().encode(),
            curves.CSV: curves.csv(history),
            curves.PNG: curves.png(history),
            events.FILE: events.build(self._folder, self._watch.state(), history, answered, model, text),
        }
        return self._told

    def saved(self, version: str) -> None:
        """The model is saved under that name: the servers get what is told of it."""
        self._servers.saved(version, self._metrics, self._told)
