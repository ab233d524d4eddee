"""TensorBoard's event file of a training: curves, what the model answered on the validation part, and its graph."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from model_service.evaluation.metrics import Predictions
from model_service.training.dataset import Dataset
from model_service.training.tracking import figures

FILE = "tensorboard/events.out.tfevents.train"  # the same for each attempt; TensorBoard asks for the middle of it
POINTS = 10_000  # of the curves by batch; of more batches, means of so many in a row are drawn
CLASSES = 100  # with a curve of precision and recall: those with most pictures

log = logging.getLogger(__name__)


class Watched(NamedTuple):
    """Pictures `indices` of the data, the validation part, with what was answered to them in that order, and its measures."""

    data: Dataset
    indices: list[int]
    predictions: Predictions
    metrics: dict[str, Any]


def build(
    folder: Path,
    batches: torch.Tensor,
    history: Sequence[dict[str, float]],
    watched: Watched,
    model: torch.nn.Module,
    text: str,
) -> bytes:
    """The file. `batches` is watch.Watch.state(), `text` the card as Markdown."""
    place = folder / "tensorboard"
    with SummaryWriter(str(place), max_queue=1000) as writer:
        _curves(writer, batches, history)
        classes, data = sorted(set(watched.data.labels)), watched.data
        _precision_and_recall(writer, watched.predictions, classes, len(history))
        told = [
            ("validation/confusion", figures.confusion(watched.metrics)),
            ("validation/pictures", figures.samples(data.views, watched.indices, data.keys, watched.predictions)),
        ]
        for tag, picture in told:
            writer.add_image(tag, picture, len(history), dataformats="HWC")
        writer.add_text("card", text, len(history))
        _graph(writer, model, data.views[watched.indices[0]].shape[0])
    (file,) = place.iterdir()
    content = file.read_bytes()
    file.unlink()
    return content


def _curves(writer: SummaryWriter, batches: torch.Tensor, history: Sequence[dict[str, float]]) -> None:
    rows = batches.numpy()
    together = max(1, -(-len(rows) // POINTS))
    for end in range(together, len(rows) + 1, together):
        _, loss, rate, when = rows[end - together : end].mean(axis=0)
        writer.add_scalar("batch/loss", loss, end, walltime=when)
        writer.add_scalar("batch/learning_rate", rate, end, walltime=when)
    ends = {int(epoch): when for epoch, _, _, when in rows}  # of each epoch the last batch's
    for row in history:
        for name, value in row.items():
            if name != "epoch":
                epoch = int(row["epoch"])
                writer.add_scalar(f"epoch/{name}", value, epoch, walltime=ends.get(epoch))


def _precision_and_recall(writer: SummaryWriter, told: Predictions, classes: list[str], epoch: int) -> None:
    true = np.array(told.labels)
    names, counts = np.unique(true, return_counts=True)
    most = {str(names[i]) for i in np.argsort(-counts, kind="stable")[:CLASSES]}
    for number, label in enumerate(classes):
        if label in most:
            writer.add_pr_curve(f"precision_recall/{label}", true == label, told.probabilities[:, number], epoch)


def _graph(writer: SummaryWriter, model: torch.nn.Module, side: int) -> None:
    """The network's, traced; one that cannot be traced has none here, and is told of."""
    was_training = model.training
    example = torch.zeros(1, 3, side, side, device=next(model.parameters()).device)
    tracing = logging.getLogger("torch.jit")
    level = tracing.level
    try:
        model.eval()
        tracing.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(None), torch.no_grad():
            warnings.simplefilter("ignore")  # of shapes that are constants in a trace, and that tracing grows old
            writer.add_graph(model, example, use_strict_trace=False)
    except Exception as error:  # torch raises of every kind, and a picture of the network is no reason to lose it
        log.warning("WARNING: TensorBoard gets no graph of the network, it cannot be traced: %s", error)
    finally:
        tracing.setLevel(level)
        model.train(was_training)
