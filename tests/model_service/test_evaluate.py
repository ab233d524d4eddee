"""evaluate: what the predictions are worth, whether the data has moved, and whether to retrain; killed anywhere, the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest

from model_service import batches, registry
from model_service.__main__ import main
from model_service.errors import StepError
from model_service.evaluation import gathered, reference
from model_service.images import REASONS
from model_service.inference import Network
from model_service.ledger import Head, read_head, swap_head
from model_service.predictions import BadPredictions
from model_service.registry import BadModel
from model_service.storage import folder, open_store
from model_service.training import dataset
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, square
from tests.model_service.conftest import Trained
from tests.model_service.evaluating import evaluated, metrics_of, page_of, predicted, step
from tests.model_service.tiny_model import SIZE

EVIL = "<script>alert('x')&"


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


# What is measured.


def test_a_perfect_model_needs_no_retraining(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1", trained_on=buckets.shards())
    predicted(buckets)
    outcome = evaluated(buckets, max_new=1)
    headline = {"pictures": 12, "right": 12, "accuracy": 1.0, "top5": 1.0, "new_classes": [], "quarantined": 0}
    assert {name: outcome.counts[name] for name in headline} == headline
    assert outcome.outputs == {
        "metrics": contract.metrics(buckets.predicted, "r1"),
        "report": contract.report(buckets.predicted, "r1"),
        "latest": "r1",
        "retrain": False,
        "reasons": [],
        "review": contract.review(buckets.predicted, "r1"),
        "csv": None,
    }
    assert outcome.message == "100.0% of 12 new pictures right; no need to retrain"
    document = metrics_of(buckets)
    assert (document["run"], document["model"], document["precision"]) == ("r1", "v1", outcome_of_predict(buckets))
    assert document["metrics"]["confusion"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert document["retrain"] == {"needed": False, "reasons": [], "unseen": 0}
    assert (document["errors"], document["previous"], document["doubted"]) == ([], None, 0)


def outcome_of_predict(buckets: Buckets) -> str:
    """The precision that the files of predictions tell of."""
    row = next(iter(buckets.tree(buckets.predicted, "r1/predictions/").values()))
    return "bf16" if b"bf16" in row else "f32"


def test_a_poor_model_calls_for_retraining_and_says_why(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1", bias=[9.0, 0.0, 0.0])  # everything is a cat
    predicted(buckets)
    outcome = evaluated(buckets, max_new=6)
    assert outcome.counts["accuracy"] == pytest.approx(1 / 3)
    assert outcome.outputs["retrain"]
    assert outcome.outputs["reasons"] == [
        "accuracy on new pictures is 33.3%, below 95.0%",
        "6 training pictures the model has never seen, at least 6",
    ]


def test_a_label_the_model_does_not_know_counts_as_an_error(buckets: Buckets) -> None:
    buckets.put_squares(2, labels=["cat", "dog"])
    buckets.put("yak_1.jpg", square("cat", 50))
    buckets.sorted()
    buckets.save_model("v1", ["cat", "dog"])
    predicted(buckets)
    outcome = evaluated(buckets)
    assert (outcome.counts["right"], outcome.counts["pictures"]) == (4, 5)
    assert outcome.counts["new_classes"] == ["yak"]
    assert "new classes: yak" in outcome.outputs["reasons"]
    (error,) = metrics_of(buckets)["errors"]
    assert (error["label"], error["predicted"]) == ("yak", "cat")
    assert "yak" in page_of(buckets).text


def test_unseen_are_the_train_pictures_of_shards_the_card_does_not_list(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted("r0", holdout=0.0)
    buckets.save_model("v1", trained_on=buckets.shards("r0"))
    buckets.put_squares(5, first=10)
    buckets.sorted("r1", holdout=0.5)
    predicted(buckets)
    evaluated(buckets)
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
    outcome = evaluated(buckets)
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
    outcome = evaluated(buckets, csv=True)
    assert (outcome.counts["right"], outcome.counts["pictures"]) == (1, 4)
    assert metrics_of(buckets)["retrain"]["unseen"] == 4, "nor will it be trained on"
    assert metrics_of(buckets)["doubted"] == 2
    assert len(metrics_of(buckets)["uncertain"]) == 4
    assert len(local(outcome.outputs["csv"]).read_text().splitlines()) == 1 + 4


def test_without_a_picture_whose_label_is_sure_there_is_no_accuracy(buckets: Buckets) -> None:
    buckets.put_squares(1, labels=["cat"])
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1")
    predicted(buckets)
    contest(buckets, "cat_1.jpg")
    outcome = evaluated(buckets, csv=True)
    assert (outcome.counts["pictures"], outcome.counts["accuracy"]) == (0, None)
    assert outcome.message == "no new picture whose label is sure; no need to retrain"
    assert page_of(buckets).text


def test_errors_are_the_surest_first_and_uncertain_the_least_sure_first(buckets: Buckets) -> None:
    buckets.put_squares(3)
    for number in range(4):
        buckets.put(f"dog_2{number}.jpg", square("cat", 20 + number))
    buckets.sorted()
    buckets.save_model("v1", trained_on=buckets.shards())
    predicted(buckets)
    evaluated(buckets, review=3)
    document = metrics_of(buckets)
    errors, uncertain = document["errors"], document["uncertain"]
    assert [(error["label"], error["predicted"]) for error in errors] == [("dog", "cat")] * 3
    assert [error["probability"] for error in errors] == sorted((e["probability"] for e in errors), reverse=True)
    assert len(uncertain) == 3
    assert [one["margin"] for one in uncertain] == sorted(one["margin"] for one in uncertain)
    row = next(row for row in buckets.manifest() if row["key"] == errors[0]["key"])
    assert errors[0] == {
        "key": row["key"],
        "uri": row["uri"],
        "label": "dog",
        "predicted": "cat",
        "probability": errors[0]["probability"],
        "margin": errors[0]["margin"],
        "batch": buckets.batch(),
        "shard": row["shard"],
        "offset": row["offset"],
    }


# Drift.


def with_trained_model(buckets: Buckets, trained: Trained) -> str:
    """The real model, whose reference is beside it."""
    shutil.copytree(trained.folder, local(contract.model(buckets.models, trained.version)))
    return trained.version


def with_reference(buckets: Buckets) -> None:
    """The tiny model v1, with a reference of 60 pictures as training makes one; they are run r0's."""
    buckets.put_squares(20)
    buckets.sorted("r0", holdout=0.0)
    buckets.save_model("plain")
    card = registry.card(buckets.models, "plain")
    files = {name: registry.load(buckets.models, "plain", name) for name in card["files"]}
    network = Network("plain", card, files["model.onnx"])
    data = dataset.load(buckets.train_step(image_size=SIZE), buckets.root)
    kept = reference.build(network, data, range(len(data.keys)), seed=1)
    card |= {"data": {"shards": dict.fromkeys(buckets.shards("r0"), "")}}
    registry.save(buckets.models, "v1", files | {reference.FILE: kept}, card)


def test_pictures_are_compared_with_those_the_model_was_trained_on(buckets: Buckets, trained: Trained) -> None:
    version = with_trained_model(buckets, trained)
    buckets.put_squares(4, first=100)
    buckets.sorted()
    predicted(buckets, version)
    outcome = evaluated(buckets, version)
    drift = metrics_of(buckets)["drift"]
    assert outcome.counts["drifted"] is drift["drifted"] is False, "twelve pictures are too few to say so"
    assert {check["verdict"] for check in drift["checks"]} <= {"ok", "too few"}


def test_pictures_like_those_before_have_not_drifted(buckets: Buckets) -> None:
    with_reference(buckets)
    buckets.put_squares(20, first=25)
    buckets.sorted()
    predicted(buckets)
    outcome = evaluated(buckets)
    assert outcome.counts["drifted"] is False
    verdicts = {check["name"]: check["verdict"] for check in metrics_of(buckets)["drift"]["checks"]}
    assert verdicts["class mix"] == verdicts["longer side"] == verdicts["brightness"] == "ok"


def test_drift_calls_for_retraining_unless_it_may_not(buckets: Buckets) -> None:
    with_reference(buckets)
    for label in CLASSES:
        for number in range(20):
            buckets.put(f"{label}_{100 + number}.jpg", square(label, number, side=96))
    buckets.sorted()
    predicted(buckets)
    outcome = evaluated(buckets)
    verdicts = {check["name"]: check["verdict"] for check in metrics_of(buckets)["drift"]["checks"]}
    assert (verdicts["class mix"], verdicts["longer side"]) == ("ok", "drift")
    assert outcome.counts["drifted"]
    assert outcome.outputs["retrain"]
    (reason,) = outcome.outputs["reasons"]
    assert reason.startswith("the pictures have drifted: ")
    assert "; the pictures have drifted; retrain: " in outcome.message
    for name in ("metrics", "report"):
        local(outcome.outputs[name]).unlink()
    assert not evaluated(buckets, on_drift=False).outputs["retrain"]
    assert metrics_of(buckets)["drift"]["drifted"], "as the report says all the same"


def test_a_model_without_a_reference_is_measured_without_drift(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    outcome = evaluated(buckets)
    assert metrics_of(buckets)["drift"] is outcome.counts["drifted"] is None
    assert "reference" in page_of(buckets).text


def test_a_reference_whose_hash_is_wrong_is_an_error(buckets: Buckets, trained: Trained) -> None:
    version = with_trained_model(buckets, trained)
    kept = local(contract.model(buckets.models, version)) / reference.FILE
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    buckets.put_squares(2)
    buckets.sorted()
    predicted(buckets, version)
    with pytest.raises(BadModel, match=r"reference\.parquet is not the file its card describes"):
        evaluated(buckets, version)


# What cannot be evaluated.


def test_a_run_that_sorted_nothing_cannot_be_evaluated(buckets: Buckets) -> None:
    buckets.save_model("v1")
    with pytest.raises(StepError, match=f"run r1 has sorted nothing: it has no batch in {buckets.models}") as failed:
        evaluated(buckets)
    assert failed.value.remedy == "sort first, under the same --run"


def test_an_unknown_model_is_an_error(buckets: Buckets) -> None:
    with pytest.raises(BadModel, match="no model v9"):
        evaluated(buckets, "v9")


def test_missing_predictions_are_an_error_with_their_number(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1")
    predicted(buckets)
    (holdout,) = (uri for uri in buckets.shards() if "/holdout-" in uri)
    local(contract.predictions(buckets.predicted, "r1", holdout)).unlink()
    held = sum(row["split"] == "holdout" for row in buckets.manifest())
    with pytest.raises(StepError, match=f"{held} of 12 pictures of r1 have no prediction") as failed:
        evaluated(buckets)
    assert "predict" in failed.value.remedy
    assert len(buckets.tree(buckets.predicted)) == 1, "no report of a part"


def test_a_packed_row_without_a_shard_has_no_prediction(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1")
    predicted(buckets)
    manifest_says(buckets, lambda rows: [*rows, rows[0] | {"key": "f" * 20, "shard": None, "offset": None}])
    with pytest.raises(StepError, match="1 of 7 pictures of r1 has no prediction"):
        evaluated(buckets)


def manifest_says(buckets: Buckets, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Commit the batch of r1 with another manifest."""
    head = read_head(buckets.models)
    (batch,) = head.batches
    shards = {uri.rsplit("/", 1)[1]: hashlib.sha256(local(uri).read_bytes()).hexdigest() for uri in buckets.shards()}
    data = batches.write_manifest(change(buckets.manifest()), shards)
    local(contract.manifest(buckets.models, batch.name)).write_bytes(data)
    changed = dataclasses.replace(batch, manifest=hashlib.sha256(data).hexdigest())
    swap_head(buckets.models, open_store(buckets.models), head, Head((changed,), head.parts))


def test_predictions_of_another_model_are_refused_by_name(buckets: Buckets) -> None:
    buckets.put_squares(1)
    buckets.sorted()
    buckets.save_model("v1")
    buckets.save_model("v2")
    predicted(buckets, "v2")
    with pytest.raises(BadPredictions, match=r"r1/predictions/.* has predictions by v2, not by v1") as failed:
        evaluated(buckets, "v1")
    assert "--model=v2" in failed.value.remedy


def test_predictions_with_other_classes_than_the_models_are_refused(buckets: Buckets) -> None:
    buckets.put_squares(1)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    card = local(contract.model(buckets.models, "v1")) / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"classes": ["ant", "bee", "cow"]}))
    with pytest.raises(BadPredictions, match="has other classes than v1's card: cat, dog, zebra"):
        evaluated(buckets)


def test_a_file_that_is_no_file_of_predictions_is_an_error(buckets: Buckets) -> None:
    buckets.put_squares(1)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    (local(contract.predictions_folder(buckets.predicted, "r1")) / "zzz.parquet").write_bytes(b"text")
    with pytest.raises(BadPredictions, match=r"zzz\.parquet is no file of predictions"):
        evaluated(buckets)


def test_predictions_for_a_batch_that_does_not_count_are_left_out(
    buckets: Buckets, caplog: pytest.LogCaptureFixture
) -> None:
    buckets.put_squares(2)
    buckets.sorted(holdout=0.0)
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    before = metrics_of(buckets)["metrics"]
    buckets.put_squares(2, first=10)
    buckets.sorted("other", holdout=0.0)
    predicted(buckets, run="other")
    (stray,) = buckets.tree(buckets.predicted, "other/predictions/")
    at = local(f"{buckets.predicted}/{stray}")
    shutil.copy(at, local(contract.predictions_folder(buckets.predicted, "r1")) / at.name)
    for name in ("metrics.json", "report.html"):
        local(f"{buckets.predicted}/r1/{name}").unlink()
    evaluated(buckets)
    assert metrics_of(buckets)["metrics"] == before
    assert "is of no batch of run r1: it is left out" in caplog.text


def test_an_evaluation_of_another_model_stays(buckets: Buckets) -> None:
    buckets.put_squares(1)
    buckets.sorted()
    buckets.save_model("v1")
    buckets.save_model("v2")
    predicted(buckets)
    evaluated(buckets)
    before = buckets.tree(buckets.predicted)
    with pytest.raises(StepError, match="run r1 has an evaluation already, of v1"):
        evaluated(buckets, "v2")
    assert buckets.tree(buckets.predicted) == before


# Again, and after a kill.


def test_the_same_again_changes_nothing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    first = evaluated(buckets, csv=True)
    before = buckets.tree(buckets.predicted)
    again = evaluated(buckets, csv=True)
    assert (again.outputs, again.message) == (first.outputs, first.message)
    assert buckets.tree(buckets.predicted) == before


def test_a_table_may_be_asked_for_afterwards(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    before = buckets.tree(buckets.predicted)
    evaluated(buckets, csv=True)
    after = buckets.tree(buckets.predicted)
    assert after.keys() - before.keys() == {"r1/predictions.csv"}
    assert {name: after[name] for name in before} == before


class Killed(BaseException):
    """As if the process had died."""


WRITES = ("write_if_absent", "compare_and_swap", "copy_if_absent")


def killed_at(monkeypatch: pytest.MonkeyPatch, moment: int, run: Callable[[], object]) -> bool:
    """Run until a write of that number, counted twice: before it is done, and after. False: it ended before."""
    count = 0

    def dying(method: str) -> Callable[..., Any]:
        real = getattr(folder.FolderStore, method)

        def write(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:
                raise Killed
            made = real(*arguments)
            count += 1
            if count == moment:
                raise Killed
            return made

        return write

    with monkeypatch.context() as patched:
        for method in WRITES:
            patched.setattr(folder.FolderStore, method, dying(method))
        try:
            run()
        except Killed:
            return True
    return False


def test_killed_at_any_write_and_run_again_it_leaves_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = make_buckets(tmp_path)
    undisturbed.put_squares(1)
    for number in range(2):
        undisturbed.put(f"dog_2{number}.jpg", square("cat", 20 + number))
    undisturbed.sorted()
    undisturbed.save_model("v1")
    predicted(undisturbed)
    predictions = undisturbed.tree(undisturbed.predicted)
    evaluated(undisturbed, csv=True, review=1)
    expected = undisturbed.tree(undisturbed.predicted)
    assert len(expected) == len(predictions) + 6, "two copies, metrics, report, table, pointer"
    moments = 0
    while True:
        moments += 1
        shutil.rmtree(local(undisturbed.predicted))
        local(undisturbed.predicted).mkdir()
        for name, data in predictions.items():
            open_store(undisturbed.predicted).write_if_absent(name, data)
        was_killed = killed_at(monkeypatch, moments, lambda: evaluated(undisturbed, csv=True, review=1))
        evaluated(undisturbed, csv=True, review=1)
        assert undisturbed.tree(undisturbed.predicted) == expected, f"killed at moment {moments}"
        if not was_killed:
            break
    assert moments > 2 * (len(expected) - len(predictions)), "at each of its writes"


# What the page says; how it looks is tested with the report.


def test_duplicates_and_quarantined_pictures_need_no_prediction(buckets: Buckets) -> None:
    buckets.put_squares(3)
    buckets.put("cat_9.jpg", square("cat", 1))
    buckets.put("dog_9.jpg", b"text")
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    counts = evaluated(buckets).counts
    assert (counts["pictures"], counts["right"], counts["quarantined"]) == (9, 9, 1)
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
    monkeypatch.setattr(gathered, "LISTED", 2)
    assert evaluated(buckets).counts["quarantined"] == 4
    document = metrics_of(buckets)
    assert document["quarantined"] == {"no-label": 1, "not-an-image": 3}
    assert [row["uri"].rpartition("/")[2] for row in document["quarantine"]] == ["12345.jpg", "dog_90.jpg"]
    page = page_of(buckets)
    assert REASONS["not-an-image"] in page.text
    assert "dog_91.jpg" not in page.text
    assert "And 2 more, which the manifests have." in page.text


def test_the_page_says_what_arrived_and_what_each_step_cost(buckets: Buckets) -> None:
    buckets.put_squares(2, labels=["cat", "dog"])
    buckets.put("Cat_8.jpg", square("cat", 8))
    buckets.put("cat_9.jpg", square("cat", 1))
    counts = buckets.sorted_in_ranges(4)
    buckets.save_model("v1")
    predict = contract.Predict(
        run="r1",
        models=buckets.models,
        result=contract.result(buckets.models, "r1", "predict-00000"),
        model="v1",
        shards=buckets.shards(),
        predicted=buckets.predicted,
    )
    assert main(predict.argv()) == main(step(buckets).argv()) == 0
    document = metrics_of(buckets)
    told = document["sort"]
    assert (told["listed"], told["new"], told["packed"], told["duplicates"], told["ranges"]) == (6, 6, 5, 1, 2)
    assert told["bytes_in"] == sum(one["bytes_in"] for one in counts) > 0
    costs = {row["step"]: row for row in document["costs"]}
    assert {name: row["tasks"] for name, row in costs.items()} == {"plan": 1, "sort": 2, "predict": 1, "evaluate": 1}
    assert costs["sort"]["bytes_in"] == told["bytes_in"]
    assert costs["predict"]["bytes_in"] == buckets.result(predict)["counts"]["bytes_in"] > 0
    assert costs["evaluate"]["bytes_in"] > 0
    assert {row["usd"] for row in costs.values()} == {0}, "a folder costs nothing"
    page = page_of(buckets)
    assert "Classes never seen before: cat, dog." in page.text
    assert "left a result" not in page.text


def test_its_result_has_the_headline_and_what_it_cost(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    assert main(step(buckets).argv()) == 0
    counts = buckets.result(step(buckets))["counts"]
    assert (counts["accuracy"], counts["copies"]) == (1.0, 6)
    low, high = counts["interval"]
    assert 0.5 < low < high == 1.0
    assert counts["bytes_in"] > 0
    assert counts["bytes_out"] > len(local(contract.report(buckets.predicted, "r1")).read_bytes())
    assert counts["seconds"] > 0


def test_operations_on_buckets_are_counted_and_priced(stores: Buckets) -> None:
    stores.put_squares(1)
    stores.sorted()
    stores.save_model("v1")
    predicted(stores)
    counts = evaluated(stores).counts
    (row,) = [row for row in metrics_of(stores)["costs"] if row["step"] == "evaluate"]
    billed = stores.predicted.startswith("gs://")
    assert row["class_a"] == billed * (counts["copies"] + 3), "copies, and the lists of predictions and results"
    assert counts["class_a"] == row["class_a"] + billed * 3, "then metrics, report and pointer"
    assert (row["usd"] > 0) == (counts["usd"] > row["usd"]) == billed


def test_the_page_names_what_is_held_back(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted_in_ranges(9, allow="cat,dog", new_classes="hold")
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    assert "Held back until their label is allowed: zebra (2)." in page_of(buckets).text


def test_the_page_says_that_results_are_missing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted_in_ranges(3)
    local(contract.result(buckets.models, "r1", "sort-00001")).unlink()
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    assert "1 of 2 ranges left a result: the others are not counted here." in page_of(buckets).text


@pytest.mark.parametrize("damaged", ["plan", "sort-00001"])
def test_the_page_says_that_a_result_is_damaged(buckets: Buckets, damaged: str) -> None:
    buckets.put_squares(2)
    buckets.sorted_in_ranges(3)
    local(contract.result(buckets.models, "r1", damaged)).write_text('{"status": "ok", "cou')
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    assert f"Damaged, and so not counted here: the result of {damaged}." in page_of(buckets).text


def test_the_page_says_that_sort_was_run_by_hand(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()  # which writes no result
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    assert metrics_of(buckets)["sort"] is None
    assert "Neither plan nor sort left a result for this run" in page_of(buckets).text


def test_the_page_shows_the_worst_errors_and_names_that_are_never_run(buckets: Buckets) -> None:
    buckets.put(f"{EVIL}_1.jpg", square("cat", 40))
    buckets.put(f"{EVIL}_2.jpg", b"text")
    buckets.put_squares(2)
    buckets.sorted()
    buckets.save_model("v1")
    predicted(buckets)
    evaluated(buckets)
    page = page_of(buckets)
    assert not {"iframe", "object", "embed", "link", "base", "form"} & {tag for tag, _ in page.tags}
    assert EVIL not in page.source
    assert f"{EVIL}_2.jpg" in page.text
    pictures = [attributes.get("src") or "" for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) >= 1
    assert all(source.startswith("data:image/jpeg;base64,") for source in pictures)


# Many pictures.


def test_the_embeddings_kept_are_a_fair_sample_and_the_same_each_time() -> None:
    """Whatever the order and the size of the files, each of 10,000 pictures is as likely to be among 2,000."""
    import pyarrow as pa

    def sample(sizes: list[int]) -> Any:
        kept = gathered._Sample()
        start = 0
        for size in sizes:
            rows = np.arange(start, start + size)
            vectors = [np.float16([row % 100, 1]).tobytes() for row in rows]
            kept.add(rows, pa.table({"embedding": pa.array(vectors, pa.binary(4))}))
            start += size
        return kept

    kept, again = sample([5000, 10, 3990, 1000]), sample([5000, 10, 3990, 1000])
    assert np.array_equal(kept.rows, again.rows)
    assert len(set(kept.rows.tolist())) == len(kept.rows) == gathered.SAMPLE
    assert np.array_equal(kept.vectors[:, 0], kept.rows % 100), "each beside its picture"
    assert abs(int((kept.rows < 5000).sum()) - 1000) < 100
    few = sample([3, 4])
    assert few.rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
