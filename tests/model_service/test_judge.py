"""judge: who is better on pictures neither was trained on; and when the champion stays."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import judging, registry
from model_service.__main__ import main
from model_service.errors import StepError
from model_service.inference import ONNX
from model_service.judge import judge
from model_service.judging.rules import Rules
from model_service.judging.statistics import mcnemar, paired_bootstrap
from model_service.registry import BadModel
from model_service.results import Outcome
from model_service.shards import BadShard
from model_service.storage import StoreError
from model_service.storage.folder import FolderStore
from model_service.verdicts import BadVerdict
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, read_json, square
from tests.model_service.verdicts import DAMAGED


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    buckets.put_squares(8)
    buckets.sorted(holdout=0.5)
    buckets.save_model("good")
    buckets.save_model("poor", bias=[9.0, 0.0, 0.0])  # everything is a cat
    return buckets


def run(buckets: Buckets, candidate: str, champion: str = "", **arguments: Any) -> Outcome:
    """Where one picture is evidence enough, unless it is said otherwise."""
    given: dict[str, Any] = {"run": "r1", "min_pictures": 1} | arguments
    return judge(contract.Judge(models=buckets.models, result="", candidate=candidate, champion=champion, **given))


def held_out(buckets: Buckets, run: str = "r1") -> list[str]:
    return [row["label"] for row in buckets.manifest(run) if row["split"] == "holdout"]


def test_a_better_candidate_wins_on_the_holdout_alone(buckets: Buckets) -> None:
    train, _ = buckets.shards()
    local(train).write_bytes(b"never opened")
    outcome = run(buckets, "good", "poor")
    held = held_out(buckets)
    cats = held.count("cat")
    assert set(held) == set(CLASSES)
    assert len(held) < 24
    assert outcome.outputs == {"verdict": contract.verdict(buckets.models, "r1"), "promote": True}
    verdict = read_json(contract.verdict(buckets.models, "r1"))
    assert outcome.counts == {name: verdict[name] for name in verdict if name not in ("by_class", "findings")}
    by_chance = ("reasons", "difference", "ece", "milliseconds", "slower", "findings", "bytes")
    assert {name: value for name, value in verdict.items() if name not in by_chance} == {
        "promote": True,
        "reason": outcome.message,
        "candidate": "good",
        "champion": "poor",
        "pictures": len(held),
        "left_out": {"retracted": 0, "same": 0, "alike": 0},
        "unknown_batches": [],
        "compared": len(held),
        "accuracy": {"candidate": 1.0, "champion": cats / len(held)},
        "right_alone": {"candidate": len(held) - cats, "champion": 0},
        "mcnemar_p": mcnemar(len(held) - cats, 0),
        "overall": {"candidate": 1.0, "champion": cats / len(held)},
        "new_classes": [],
        "removed_classes": [],
        "by_class": {
            label: {
                "support": held.count(label),
                "candidate": 1.0,
                "champion": float(label == "cat"),
                "difference": float(label != "cat"),
            }
            for label in CLASSES
        },
        "rules": {**dataclasses.asdict(Rules()), "min_pictures": 1},
        "seed": 0,
        "int8": None,
    }
    low, high = paired_bootstrap(len(held) - cats, 0, len(held), seed=0)
    assert (verdict["difference"]["low"], verdict["difference"]["high"]) == (low, high)
    assert verdict["difference"]["value"] == pytest.approx(1 - cats / len(held))
    assert verdict["ece"]["candidate"] < 0.1 < verdict["ece"]["champion"]
    assert all(0 < value < 1000 for value in verdict["milliseconds"].values())
    onnx = {name: registry.card(buckets.models, name)["files"][ONNX]["bytes"] for name in ("good", "poor")}
    assert verdict["bytes"] == {"candidate": onnx["good"], "champion": onnx["poor"]}
    assert [finding["rule"] for finding in verdict["findings"]] == [
        "evidence",
        "accuracy",
        "recall",
        "calibration",
        "latency",
    ]


@pytest.mark.parametrize(("candidate", "champion"), [("poor", "good"), ("good", "good")])
def test_a_candidate_that_is_no_better_does_not_win(buckets: Buckets, candidate: str, champion: str) -> None:
    outcome = run(buckets, candidate, champion)
    assert outcome.outputs["promote"] is False
    assert "the champion stays" in outcome.message


def test_without_a_champion_the_candidate_wins_by_default_and_the_verdict_says_so(buckets: Buckets) -> None:
    outcome = run(buckets, "poor")
    verdict = read_json(contract.verdict(buckets.models, "r1"))
    assert verdict["promote"] is True
    assert verdict["reason"] == outcome.message == "there is no champion: the candidate wins by default"
    for name in ("champion", "right_alone", "difference", "mcnemar_p", "slower"):
        assert verdict[name] is None
    held = held_out(buckets)
    cats = held.count("cat") / len(held)
    for name in ("accuracy", "overall"):
        assert verdict[name] == {"candidate": cats, "champion": None}
    assert verdict["ece"]["candidate"] > 0.1
    assert verdict["milliseconds"]["candidate"] > 0
    assert verdict["by_class"]["cat"] == {
        "support": held.count("cat"),
        "candidate": 1.0,
        "champion": None,
        "difference": None,
    }


def test_the_holdout_of_every_batch_counts(buckets: Buckets) -> None:
    buckets.put_squares(3, first=20)
    buckets.sorted("r2", holdout=0.5)
    assert run(buckets, "good", "poor").counts["pictures"] == len(held_out(buckets)) + len(held_out(buckets, "r2"))


def test_the_holdout_of_every_range_of_a_run_counts(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    buckets = make_buckets(tmp_path / "new")
    buckets.put_squares(4)
    counts = buckets.sorted_in_ranges(5, holdout=0.5)
    buckets.save_model("good")
    assert (
        run(buckets, "good").counts["pictures"] == sum(c["splits"]["holdout"] for c in counts) == len(held_out(buckets))
    )


def test_a_picture_that_was_met_under_another_label_later_on_is_no_evidence(buckets: Buckets) -> None:
    row = next(row for row in buckets.manifest() if row["split"] == "holdout")
    wrong = next(label for label in CLASSES if label != row["label"])
    buckets.put(f"{wrong}_99.jpg", local(row["uri"]).read_bytes())
    buckets.sorted("r2", max_bad=1.0)
    assert run(buckets, "good", "poor").counts["pictures"] == len(held_out(buckets)) - 1


def test_too_few_pictures_are_not_enough_evidence(buckets: Buckets) -> None:
    outcome = run(buckets, "good", "poor", min_pictures=100)
    assert outcome.outputs["promote"] is False
    held = len(held_out(buckets))
    assert outcome.message == (
        f"not enough evidence: {held} held-out pictures of classes that both know, needed are 100, the champion stays"
    )
    assert outcome.counts["accuracy"]["candidate"] == 1.0, "the figures are told all the same"


def test_a_class_only_the_candidate_knows_is_judged_by_its_own_recall(buckets: Buckets) -> None:
    buckets.save_model("old", ["cat", "dog"])
    held = held_out(buckets)
    zebras = held.count("zebra")
    outcome = run(buckets, "good", "old", min_support=1)
    assert zebras > 0
    assert outcome.outputs["promote"] is True
    assert f"zebra is new: {zebras} of {zebras} held-out pictures recognised" in outcome.counts["reasons"]
    assert outcome.counts["new_classes"] == ["zebra"]
    assert outcome.counts["compared"] == len(held) - zebras
    assert outcome.counts["accuracy"] == {"candidate": 1.0, "champion": 1.0}
    assert outcome.counts["overall"] == {"candidate": 1.0, "champion": (len(held) - zebras) / len(held)}


def test_a_new_class_that_is_not_recognised_keeps_the_champion(buckets: Buckets) -> None:
    buckets.save_model("old", ["cat", "dog"])
    buckets.save_model("blind", bias=[0.0, 0.0, -9.0])
    outcome = run(buckets, "blind", "old", min_support=1, tolerance=1.0)
    assert outcome.outputs["promote"] is False
    zebras = held_out(buckets).count("zebra")
    assert f"zebra is new: 0 of {zebras} held-out pictures recognised, needed are 50%" in outcome.message


def test_a_class_that_the_candidate_lost_keeps_the_champion(buckets: Buckets) -> None:
    buckets.save_model("old", ["cat", "dog"])
    outcome = run(buckets, "old", "good", min_support=1, tolerance=1.0)
    assert outcome.outputs["promote"] is False
    assert outcome.counts["removed_classes"] == ["zebra"]
    assert "zebra is removed" in outcome.message
    assert run(buckets, "old", "good", run="r3", min_support=1, tolerance=1.0, max_recall_loss=1.0).outputs["promote"]


def test_models_that_share_no_class_are_not_compared(buckets: Buckets) -> None:
    buckets.save_model("old", ["horse", "yak"])
    outcome = run(buckets, "good", "old")
    assert outcome.outputs["promote"] is False
    assert outcome.counts["compared"] == 0
    assert outcome.counts["accuracy"] == {"candidate": None, "champion": None}
    assert outcome.counts["overall"] == {"candidate": 1.0, "champion": 0.0}


def test_the_log_has_the_verdict_as_a_table(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(buckets, "good", "poor")
    lines = caplog.messages
    held = held_out(buckets)
    (row,) = (line for line in lines if line.startswith(f"right of {len(held)} compared"))
    assert row.split()[-2:] == ["100.0%", f"{held.count('cat') / len(held):.1%}"]
    (row,) = (line for line in lines if line.startswith("evidence"))
    assert row.split() == ["evidence", str(len(held)), "≥", "1", "ok"]


def test_with_nothing_held_out_the_champion_stays(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    buckets = make_buckets(tmp_path / "new")
    buckets.put("cat_1.jpg", square("cat"))
    buckets.sorted(holdout=0.0)
    buckets.save_model("good")
    buckets.save_model("poor")
    outcome = run(buckets, "good", "poor")
    assert outcome.outputs["promote"] is False
    assert outcome.counts["accuracy"] == {"candidate": None, "champion": None}
    assert "not enough evidence" in outcome.message


def test_the_same_again_changes_nothing(buckets: Buckets) -> None:
    first = run(buckets, "good", "poor")
    before = buckets.tree(buckets.models)
    assert run(buckets, "good", "poor") == first
    assert buckets.tree(buckets.models) == before


def test_a_verdict_that_is_there_stands_and_nothing_is_scored_again(buckets: Buckets) -> None:
    first = run(buckets, "good", "poor")
    local(buckets.shards()[1]).unlink()
    assert run(buckets, "good", "poor") == first


def test_another_candidate_of_the_same_run_is_refused(buckets: Buckets) -> None:
    run(buckets, "good", "poor")
    with pytest.raises(StepError, match="run r1 has a verdict already, of good against poor") as error:
        run(buckets, "poor", "good")
    assert "under another --run" in error.value.remedy


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_verdict_of_the_run_is_named_and_not_replaced(tmp_path: Path, text: str) -> None:
    buckets = make_buckets(tmp_path)
    uri = contract.verdict(buckets.models, "r1")
    local(uri).parent.mkdir(parents=True)
    local(uri).write_text(text)
    with pytest.raises(BadVerdict, match=f"{uri} is damaged, no verdict: ") as error:
        run(buckets, "v1")
    assert "under another --run" in error.value.remedy
    assert not error.value.retry
    assert local(uri).read_text() == text


def test_a_batch_that_is_gone_from_the_bucket_is_to_be_brought_back(buckets: Buckets) -> None:
    manifest = contract.manifest(buckets.models, buckets.batch())
    local(manifest).unlink()
    with pytest.raises(BadShard, match=f"{manifest} is missing") as error:
        run(buckets, "good", "poor")
    assert "dvc pull batches/<batch>.dvc" in error.value.remedy
    assert "older generations" in error.value.remedy
    assert not local(contract.verdict(buckets.models, "r1")).exists()


def test_where_no_verdict_can_be_written_nothing_is_scored(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: FolderStore, name: str, data: bytes | Path) -> None:
        raise StoreError(f"{store.uri}/{name}: Read-only file system")

    monkeypatch.setattr(FolderStore, "write_if_absent", refuse)
    monkeypatch.setattr(judging, "examine", None)
    with pytest.raises(StepError, match=r"so nothing is scored: .*: Read-only file system") as error:
        run(buckets, "good", "poor")
    assert f"let this account write and delete in {buckets.models}" in error.value.remedy


def test_also_where_its_result_cannot_be_written(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a bucket that is mounted read-only says it, which root's rights do not change."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(judging, "examine", None)
    result = contract.result(buckets.models, "r1", "judge")
    step = contract.Judge(run="r1", models=buckets.models, result=result, candidate="good")
    assert main(step.argv()) == 1
    told = capsys.readouterr().err
    assert f"menagerie judge: {result} could not be written: {local(buckets.models)}" in told
    assert "Mount it so that it can be written" in told


def test_nothing_is_left_of_the_proof_that_a_verdict_can_be_written(buckets: Buckets) -> None:
    local(f"{buckets.models}/runs/r1").mkdir(parents=True, exist_ok=True)
    local(f"{buckets.models}/runs/r1/verdict.json.probe").write_text("of an attempt that was killed")
    run(buckets, "good", "poor")
    assert not [name for name in buckets.tree(buckets.models) if name.endswith(".probe")]


def test_a_damaged_holdout_is_named_and_no_verdict_is_given(buckets: Buckets) -> None:
    _, holdout = buckets.shards()
    local(holdout).write_bytes(local(holdout).read_bytes()[:-1])
    with pytest.raises(BadShard, match=holdout):
        run(buckets, "good", "poor")
    assert not local(contract.verdict(buckets.models, "r1")).exists()


def test_a_candidate_that_is_not_there_is_an_error(buckets: Buckets) -> None:
    with pytest.raises(BadModel, match="no model v9"):
        run(buckets, "v9", "good")
