"""The epochs' figures as a table and as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

CSV, PNG = "history.csv", "history.png"


def csv(history: Sequence[dict[str, float]]) -> bytes:
    lines = [",".join(history[0]), *(",".join(f"{value:.6g}" for value in row.values()) for row in history)]
    return ("\n".join(lines) + "\n").encode()


def png(history: Sequence[dict[str, float]]) -> bytes:
    """Losses and accuracy by epoch."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for key in ("train_loss", "valid_loss"):
        losses.plot(epochs, [row[key] for row in history], marker="o", label=key.replace("_", " "))
    accuracy.plot(epochs, [row["accuracy"] for row in history], marker="o", color="tab:green")
    losses.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None))
    losses.legend()
    accuracy.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    for axes in (losses, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
