"""evaluate: what the predictions are worth, told in metrics.json and in a page that fetches nothing."""

from __future__ import annotations

import html.parser
import io
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
from PIL import Image

from model_service import batches, report
from model_service import evaluate as evaluate_step
from model_service.errors import StepError
from model_service.evaluate import evaluate
from model_service.images import REASONS
from model_service.predict import predict
from model_service.registry import BadModel
from model_service.results import Outcome
from tests.model_service.buckets import Buckets, local, make_buckets, read_json, square

EVIL = "<script>alert('x')&"


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def predicted(buckets: Buckets, model: str = "v1", run: str = "r1") -> None:
    """Predictions, a file a shard, as the mapped tasks make them."""
    for index, shard in enumerate(buckets.shards(run)):
        output = contract.predictions(buckets.predicted, run, index)
        predict(
            contract.Predict(run=run, models=buckets.models, result="", model=model, shards=(shard,), output=output)
        )


def run(buckets: Buckets, model: str = "v1", **thresholds: Any) -> Outcome:
    return evaluate(
        contract.Evaluate(
            run="r1", models=buckets.models, result="", model=model, predicted=buckets.predicted, **thresholds
        )
    )


def metrics_of(buckets: Buckets) -> dict[str, Any]:
    document: dict[str, Any] = read_json(contract.metrics(buckets.predicted, "r1"))
    return document


def page_of(buckets: Buckets) -> str:
    return local(contract.report(buckets.predicted, "r1")).read_text()


def test_a_perfect_model_needs_no_retraining(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1", trained_on=buckets.shards())
    predicted(buckets)
    outcome = run(buckets, max_new=1)
    assert outcome.counts == {"pictures": 12, "right": 12, "accuracy": 1.0, "new_classes": [], "quarantined": 0}
    assert outcome.outputs == {
        "metrics": contract.metrics(buckets.predicted, "r1"),
        "report": contract.report(buckets.predicted, "r1"),
        "retrain": False,
        "reasons": [],
    }
    assert outcome.message == "100.0% of 12 new pictures right; no need to retrain"
    document = metrics_of(buckets)
    assert (document["run"], document["model"]) == ("r1", "v1")
    assert document["metrics"]["confusion"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert document["retrain"] == {"needed": False, "reasons": [], "unseen": 0}


def test_a_poor_model_calls_for_retraining_and_says_why(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1", bias=[9.0, 0.0, 0.0])  # everything is a cat
    predicted(buckets)
    outcome = run(buckets, max_new=6)
    assert outcome.counts["accuracy"] == pytest.approx(1 / 3)
    assert outcome.outputs["retrain"]
    assert outcome.outputs["reasons"] == [
        "accuracy on new pictures is 33.3%, below 95.0%",
        "6 training pictures the model has never seen, at least 6",
    ]
    assert "Retraining is called for." in page_of(buckets)


def test_a_label_the_model_does_not_know_counts_as_an_error(buckets: Buckets) -> None:
    buckets.put_squares(2, labels=["cat", "dog"])
    buckets.put("yak_1.jpg", square("cat", 50))
    buckets.sorted()
    buckets.save_model("v1", ["cat", "dog"])
    predicted(buckets)
    outcome = run(buckets)
    assert (outcome.counts["right"], outcome.counts["pictures"]) == (4, 5)
    assert outcome.counts["new_classes"] == ["yak"]
    assert "new classes: yak" in outcome.outputs["reasons"]
    assert "Classes the model does not know" in page_of(buckets)


def test_unseen_are_the_train_pictures_of_shards_the_card_does_not_list(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted("r0", holdout=0.0)
    buckets.save_model("v1", trained_on=buckets.shards("r0"))
    buckets.put_squares(5, first=10)
    buckets.sorted("r1", holdout=0.5)
    predicted(buckets)
    run(buckets)
    train = sum(row["split"] == "train" for row in buckets.manifest("r1"))
    assert 0 < train < 15
    assert metrics_of(buckets)["retrain"]["unseen"] == train


def test_the_batches_of_all_ranges_of_a_run_are_measured(buckets: Buckets) -> None:
    buckets.put_squares(3)
    for name in ("aaa_1.jpg", "dog_9.jpg", "zzz_1.jpg"):
        buckets.put(name, f"text of {name}".encode())
    buckets.sorted_in_ranges(5, holdout=0.5, max_bad=0.5)
    buckets.save_model("v1", trained_on=tuple(uri for uri in buckets.shards() if "/train-" in uri)[:1])
    predicted(buckets)
    outcome = run(buckets)
    assert (outcome.counts["pictures"], outcome.counts["right"], outcome.counts["quarantined"]) == (9, 9, 3)
    aside = [row["uri"].rpartition("/")[2] for row in metrics_of(buckets)["quarantine"]]
    assert aside == ["aaa_1.jpg", "dog_9.jpg", "zzz_1.jpg"]
    first, *others = (batches.manifest(buckets.models, batch) for batch in batches.of_run(buckets.models, "r1"))
    assert "train" in first["split"].to_pylist(), "that the model was trained on"
    unseen = sum(table["split"].to_pylist().count("train") for table in others)
    assert metrics_of(buckets)["retrain"]["unseen"] == unseen > 0


def contest(buckets: Buckets, *names: str) -> None:
    """The same pictures arrive again, all as zebras."""
    for number, name in enumerate(names):
        buckets.put(f"zebra_9{number}.jpg", (buckets.arrivals / name).read_bytes())
    buckets.sorted("r2", max_bad=1.0)


def test_a_picture_that_was_met_under_another_label_later_on_says_nothing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1", bias=[9.0, 0.0, 0.0])  # everything is a cat
    predicted(buckets)
    contest(buckets, "cat_1.jpg", "dog_2.jpg")
    outcome = run(buckets)
    assert (outcome.counts["right"], outcome.counts["pictures"]) == (1, 4)
    assert metrics_of(buckets)["retrain"]["unseen"] == 4, "nor will it be trained on"


def test_without_a_picture_whose_label_is_sure_there_is_no_accuracy(buckets: Buckets) -> None:
    buckets.put_squares(1, labels=["cat"])
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1")
    predicted(buckets)
    contest(buckets, "cat_1.jpg")
    outcome = run(buckets)
    assert (outcome.counts["pictures"], outcome.counts["accuracy"]) == (0, None)
    assert outcome.message == "no new picture whose label is sure; no need to retrain"
    assert "–error" in Page(page_of(buckets)).text


def test_a_run_that_sorted_nothing_cannot_be_evaluated(buckets: Buckets) -> None:
    buckets.save_model("v1")
    with pytest.raises(StepError, match=f"run r1 has sorted nothing: it has no batch in {buckets.models}") as failed:
        run(buckets)
    assert failed.value.remedy == "sort first, under the same --run"


def test_duplicates_and_quarantined_pictures_need_no_prediction(buckets: Buckets) -> None:
    buckets.put_squares(3)
    buckets.put("cat_9.jpg", square("cat", 1))
    buckets.put("dog_9.jpg", b"text")
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    assert run(buckets).counts == {"pictures": 9, "right": 9, "accuracy": 1.0, "new_classes": [], "quarantined": 1}
    (row,) = metrics_of(buckets)["quarantine"]
    assert row == {
        "uri": f"{buckets.source}/dog_9.jpg",
        "reason": "not-an-image",
        "text": "not a picture in a known format",
    }


def test_the_page_counts_all_quarantined_pictures_and_names_some(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.put_squares(2)
    for n in range(3):
        buckets.put(f"dog_9{n}.jpg", b"text %d" % n)
    buckets.put("12345.jpg", square("cat", 50))
    buckets.sorted(max_bad=0.9)
    buckets.save_model("v1")
    predicted(buckets)
    monkeypatch.setattr(evaluate_step, "LISTED", 2)
    assert run(buckets).counts["quarantined"] == 4
    document = metrics_of(buckets)
    assert document["quarantined"] == {"no-label": 1, "not-an-image": 3}
    assert [row["uri"].rpartition("/")[2] for row in document["quarantine"]] == ["12345.jpg", "dog_90.jpg"]
    page = Page(page_of(buckets))
    assert ["not-an-image", REASONS["not-an-image"], "3"] in page.rows
    assert "dog_91.jpg" not in page.text
    assert "And 2 more, which the manifests have." in page.text


def test_the_page_says_what_arrived(buckets: Buckets) -> None:
    buckets.put_squares(2, labels=["cat", "dog"])
    buckets.put("Cat_8.jpg", square("cat", 8))
    buckets.put("cat_9.jpg", square("cat", 1))
    counts = buckets.sorted_in_ranges(4)
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    told = metrics_of(buckets)["sort"]
    assert (told["listed"], told["new"], told["packed"], told["duplicates"], told["ranges"]) == (6, 6, 5, 1, 2)
    assert told["bytes_in"] == sum(one["bytes_in"] for one in counts) > 0
    page = Page(page_of(buckets))
    assert ["objects listed", "6"] in page.rows
    assert ["duplicates", "1"] in page.rows
    assert ["copied", "6"] in page.rows
    assert ["estimated cost at list price", "US$ 0.0000"] in page.rows, "a folder costs nothing"
    assert ["cat", "3", "Cat"] in page.rows
    assert ["dog", "2", ""] in page.rows
    assert "Classes never seen before: cat, dog." in page.text
    assert "left a result" not in page.text


def test_the_page_names_what_is_held_back(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted_in_ranges(9, allow="cat,dog", new_classes="hold")
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    assert "Held back until their label is allowed: zebra (2)." in page_of(buckets)


def test_the_page_says_that_results_are_missing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted_in_ranges(3)
    local(contract.result(buckets.models, "r1", "sort-00001")).unlink()
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    assert "1 of 2 ranges left a result: the others are not counted here." in page_of(buckets)


@pytest.mark.parametrize("step", ["plan", "sort-00001"])
def test_the_page_says_that_a_result_is_damaged(buckets: Buckets, step: str) -> None:
    buckets.put_squares(2)
    buckets.sorted_in_ranges(3)
    local(contract.result(buckets.models, "r1", step)).write_text('{"status": "ok", "cou')
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    assert f"Damaged, and so not counted here: the result of {step}." in page_of(buckets)


def test_the_page_counts_the_pictures_of_a_class_in_whole_numbers(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    assert ["cat", "2", "100.0%", "100.0%", "100.0%"] in Page(page_of(buckets)).rows


def test_the_page_says_that_sort_was_run_by_hand(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()  # which writes no result
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    assert metrics_of(buckets)["sort"] is None
    assert "Neither plan nor sort left a result for this run" in page_of(buckets)


def test_missing_predictions_are_an_error_with_their_number(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1")
    predicted(buckets)
    local(contract.predictions(buckets.predicted, "r1", 1)).unlink()
    held = sum(row["split"] == "holdout" for row in buckets.manifest())
    with pytest.raises(StepError, match=f"{held} of 12 pictures of r1 have no prediction") as failed:
        run(buckets)
    assert "predict" in failed.value.remedy
    assert len(buckets.tree(buckets.predicted)) == 1, "no report of a part"


def test_an_unknown_model_is_an_error(buckets: Buckets) -> None:
    with pytest.raises(BadModel, match="no model v9"):
        run(buckets, "v9")


def test_the_same_again_changes_nothing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    first = run(buckets)
    before = buckets.tree(buckets.predicted)
    assert run(buckets) == first
    assert buckets.tree(buckets.predicted) == before


class Page(html.parser.HTMLParser):
    """The elements of a page, the text a person reads, and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.text = ""
        self.feed(text)

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


def evil_page(buckets: Buckets) -> str:
    buckets.put(f"{EVIL}_1.jpg", square("cat", 40))
    buckets.put(f"{EVIL}_2.jpg", b"text")
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    run(buckets)
    return page_of(buckets)


def test_names_are_shown_and_never_run(buckets: Buckets) -> None:
    page = Page(evil_page(buckets))
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert f"{EVIL}_2.jpg" in page.text
    assert page.text.count(EVIL) >= 3


def test_the_page_fetches_nothing(buckets: Buckets) -> None:
    text = evil_page(buckets)
    page = Page(text)
    sources = [
        attributes[name] for _, attributes in page.tags for name in ("src", "href", "srcset") if name in attributes
    ]
    assert [source[:22] for source in sources if source] == ["data:image/png;base64,"]
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    policy = [
        a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("labels", [["only"], ["a$b$", "c_d^e\\"], [f"class {n}" for n in range(60)]])
def test_any_number_of_classes_and_any_label_can_be_drawn(labels: list[str]) -> None:
    matrix = [[3 * (i == j) for j in range(len(labels))] for i in range(len(labels))]
    with Image.open(io.BytesIO(report.confusion_png({"confusion": matrix, "classes": labels}))) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100
