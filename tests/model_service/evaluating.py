"""A run predicted and evaluated, as the DAG does it, and what it leaves."""

from __future__ import annotations

import html.parser
import json
from typing import Any

import menagerie_contract as contract

from model_service.evaluate import evaluate
from model_service.predict import predict
from model_service.results import Outcome
from model_service.storage import locate
from tests.model_service.buckets import Buckets


def predicted(buckets: Buckets, model: str = "v1", run: str = "r1", **arguments: Any) -> None:
    predict(
        contract.Predict(
            run=run,
            models=buckets.models,
            result=contract.result(buckets.models, run, "predict-00000"),
            model=model,
            shards=buckets.shards(run),
            predicted=buckets.predicted,
            **arguments,
        )
    )


def step(buckets: Buckets, model: str = "v1", run: str = "r1", **arguments: Any) -> contract.Evaluate:
    """With copies for review, as the DAG asks for them."""
    told = {"to_predict": buckets.to_predict} | arguments
    return contract.Evaluate(
        run=run,
        models=buckets.models,
        result=contract.result(buckets.models, run, "evaluate"),
        model=model,
        predicted=buckets.predicted,
        **told,
    )


def evaluated(buckets: Buckets, model: str = "v1", run: str = "r1", **arguments: Any) -> Outcome:
    return evaluate(step(buckets, model, run, **arguments))


def read(uri: str) -> bytes:
    store, name = locate(uri)
    return store.read(name)


def metrics_of(buckets: Buckets, run: str = "r1") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(read(contract.metrics(buckets.predicted, run)))
    return document


def latest(buckets: Buckets) -> dict[str, Any]:
    pointer: dict[str, Any] = json.loads(read(contract.latest(buckets.predicted)))
    return pointer


def page_of(buckets: Buckets, run: str = "r1") -> Page:
    return Page(read(contract.report(buckets.predicted, run)).decode())


class Page(html.parser.HTMLParser):
    """The elements of a page, the text a person reads, and the rows of its tables; each run of spaces is one."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.text = ""
        self.feed(source)
        self.text = " ".join(self.text.split())
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data
