"""evaluate over what an earlier attempt, another release or somebody else left; and over odd runs."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import menagerie_contract as contract
import numpy as np
import pytest

from model_service import report
from model_service.errors import StepError
from model_service.evaluation import evaluations, metrics
from model_service.evaluation.metrics import Predictions
from model_service.ledger import read_head
from model_service.report.confusion import confusion
from model_service.report.steady import verdict
from model_service.storage import open_store
from tests.model_service.buckets import Buckets, local, make_buckets
from tests.model_service.documents import DRIFT, evaluation
from tests.model_service.evaluating import Page, evaluated, metrics_of, page_of, predicted


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    found = make_buckets(tmp_path)
    found.put_squares(1)
    found.sorted(holdout=0.0)
    found.save_model("v1", trained_on=found.shards())
    predicted(found)
    return found


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"run": "r1", "model": "v1", "metrics": {}}'])
def test_a_damaged_document_of_the_run_is_named_with_its_remedy(buckets: Buckets, content: str) -> None:
    uri = contract.metrics(buckets.predicted, "r1")
    local(uri).write_text(content)
    with pytest.raises(StepError, match="is damaged") as failed:
        evaluated(buckets)
    assert uri in failed.value.remedy


def test_what_a_document_may_lack_is_empty_and_other_options_are_named(buckets: Buckets) -> None:
    evaluated(buckets)
    document = metrics_of(buckets)
    for name in ("errors", "uncertain", "review", "quarantined"):
        del document[name]
    local(contract.metrics(buckets.predicted, "r1")).write_text(json.dumps(document))
    message = evaluated(buckets, min_accuracy=0.5).message
    assert "this run was evaluated before, and that evaluation stands, with min_accuracy=0.95, not 0.5" in message
    assert "evaluated before" not in evaluated(buckets).message
    assert "some of which it was trained on (3)" in page_of(buckets).text


@pytest.mark.parametrize("name", ["predictions.csv", "report.html"])
def test_junk_is_refused_and_another_of_ours_kept_with_a_warning(
    buckets: Buckets, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    evaluated(buckets, csv=True)
    at = local(f"{buckets.predicted}/r1/{name}")
    at.write_bytes(older := at.read_bytes() + b"\n")
    evaluated(buckets, csv=True)
    assert at.read_bytes() == older
    assert f"{name} differs" in caplog.text
    at.write_text("junk")
    with pytest.raises(StepError, match="is nothing that evaluate wrote"):
        evaluated(buckets, csv=True)


@pytest.mark.parametrize("bad", [{"accuracy": "abc"}, {"by_class": []}, {"pictures": "x"}, {"accuracy": 5}])
def test_a_bad_earlier_evaluation_is_not_taken_over(buckets: Buckets, bad: dict[str, object]) -> None:
    evaluated(buckets)
    document = metrics_of(buckets)
    document["metrics"] |= bad
    local(contract.metrics(buckets.predicted, "r1")).write_text(json.dumps(document))
    buckets.put_squares(1, first=9)
    buckets.sorted("r2")
    assert evaluations.before(open_store(buckets.predicted), read_head(buckets.models), "r2") is None


def test_a_run_with_everything_quarantined_has_an_empty_report(tmp_path: Path) -> None:
    buckets = make_buckets(tmp_path)
    buckets.put("cat_1.jpg", b"text")
    buckets.sorted(max_bad=1.0)
    buckets.save_model("v1")
    assert evaluated(buckets, csv=True).message.startswith("no new picture whose label is sure, 1 quarantined")
    assert "There is no picture to compare." in page_of(buckets).text


def test_of_8000_labels_memory_and_document_stay_small() -> None:
    labels = [f"label {n}" for n in range(8000)]
    rows = np.full((8000, 2), 0.5, np.float32)
    tracemalloc.start()
    found = metrics.measure(Predictions(labels, ["cat"] * 8000, rows), ["cat", "dog"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    assert len(json.dumps(found, indent=2)) < 5e6
    assert (len(found["classes"]), found["others"], len(found["by_class"])) == (200, 7802, 8002)
    assert np.sum(found["confusion"]) == 8000
    table = confusion(found)
    assert sum(cell.pictures for row in table.rows for cell in row.cells) == 8000
    assert table.columns[-1] == "7978 other classes"
    page = Page(report.render(evaluation(metrics=found, errors=[], uncertain=[])))
    assert "… and 7,980 more: every picture of them counts as an error" in page.text


def test_it_is_steady_only_where_something_was_compared_and_all_classes_are_known() -> None:
    few, steady = ({"drifted": False, "checks": [DRIFT["checks"][i]]} for i in (5, 0))
    assert [verdict(few, []).word, verdict(steady, []).word] == ["not known", "steady"]
    assert verdict(steady, ["yak"]).word == "new classes"


def test_gone_originals_are_told_of_and_one_is_one() -> None:
    gone = {"copies": 0, "gone": 2, "folder": "f"}
    one = {"copies": 1, "gone": 0, "folder": "f"}
    assert (
        "No original could be copied for review: all 2 are gone." in Page(report.render(evaluation(review=gone))).text
    )
    said = Page(report.render(evaluation(review=one, errors=[]))).text
    assert "1 original is copied to f." in said
    assert "a folder for each mistake" not in said
