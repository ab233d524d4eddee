"""The card as a page that fetches nothing, every name in it escaped, and as Markdown."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service.addresses import scrubbed
from model_service.report import charts as report_charts
from model_service.report.confusion import confusion
from model_service.report.templating import environment
from model_service.training.card import charts
from model_service.training.card.limits import limits
from model_service.training.card.samples import Sample
from model_service.training.card.start import Start

MARKDOWN, HTML = "card.md", "card.html"
ROWS = 200  # of a table of classes or batches
_TEMPLATES = Path(__file__).parent / "templates"
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")  # within a line
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Page:
    """Of the model that `card` describes as model.json will; `metrics` (evaluation.metrics) are of the validation part."""

    def __init__(
        self,
        card: Mapping[str, Any],
        metrics: Mapping[str, Any],
        history: Sequence[dict[str, float]],
        step: contract.Train,
        samples: Sequence[Sample],
    ) -> None:
        data = card["data"]
        self._told: dict[str, Any] = {
            "version": card.get("version") or step.run,
            "run": step.run,
            "architecture": card["architecture"],
            "side": card["preprocessing"]["size"],
            "classes": sorted(data["by_class"], key=lambda label: (metrics["by_class"][label]["f1"] or 0, label)),
            "by_class": data["by_class"],
            "learned": data["pictures"] - metrics["pictures"],
            "metrics": metrics,
            "history": history,
            "start": Start.of(card),
            "parent": card.get("parent"),
            "data": {"tag": "", "batches": [], "available": data["pictures"]} | data,
            "limits": limits(card, metrics),
            "arguments": {name: value for name, value in card["training"].items() if value not in ("", None)},
            "libraries": card["libraries"],
            "machine": card.get("machine") or {},
            "commit": card.get("commit"),
            "created": card["created"],
            "again": _again(step, data.get("tag") or ""),
            "reproduce": _command(
                "reproduce", tag="model_vN", registry=step.registry or "REGISTRY", models=step.models
            ),
            "confusion": confusion(dict(metrics)),
            "samples": samples,
            "rows": ROWS,
        }

    def html(self) -> str:
        metrics, history = self._told["metrics"], self._told["history"]
        return (
            environment(_TEMPLATES)
            .get_template("card.html")
            .render(
                **self._told,
                losses=charts.losses(history),
                accuracy=charts.accuracy(history),
                reliability=report_charts.reliability(metrics["reliability"]),
                abstention=report_charts.abstention(metrics["abstention"]),
            )
        )

    def markdown(self) -> str:
        text: str = environment(_TEMPLATES).get_template("card.md").render(**self._told, plain=plain)
        return text


def plain(text: object) -> str:
    """As Markdown that is nothing but this text, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split())).translate(_ENTITIES)


def _again(step: contract.Train, tag: str) -> str:
    """The command that trains so once more, under another run's name; arguments that are as always are left out."""
    run = f"{step.run}-again"
    result = contract.result(step.models, run, "train")
    usual = contract.Train(run=run, models=step.models, result=result).argv()
    told = dataclasses.replace(step, run=run, result=result, dataset_tag=tag or step.dataset_tag).argv()[1:]
    always = ("--run=", "--models=", "--result=")
    return _lines("train", [word for word in told if word not in usual or word.startswith(always)])


def _command(name: str, **arguments: str) -> str:
    return _lines(name, [f"--{key}={value}" for key, value in arguments.items()])


def _lines(name: str, arguments: Sequence[str]) -> str:
    """A command, an argument a line; no login in it."""
    return " \\\n  ".join([f"python -m model_service {name}", *(shlex.quote(scrubbed(one)) for one in arguments)])
