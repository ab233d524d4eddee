"""judge on the int8 variant: as good as the candidate itself, or not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from infra.build import tiny
from model_service import registry
from model_service.inference import INT8, ONNX, chosen
from model_service.judge import judge
from model_service.judging.int8 import Int8Score, decide_int8
from model_service.registry import BadModel
from model_service.results import Outcome
from tests.model_service.buckets import Buckets, local, make_buckets, read_json


@pytest.mark.parametrize(
    ("pictures", "f32", "int8", "agreed", "accepted", "reason"),
    [
        (0, 0, 0, 0, False, "not enough evidence: 0 held-out pictures, needed are 100"),
        (99, 99, 99, 99, False, "not enough evidence: 99 held-out pictures, needed are 100"),
        (100, 99, 99, 100, True, "it is as good: 99.0% right in int8 and 99.0% in f32 on 100 held-out pictures"),
        (1000, 950, 947, 990, True, "of which both say the same in 99.0%"),
        (1000, 950, 946, 995, False, "it loses too much: 94.6% right in int8 and 95.0% in f32"),
        (1000, 950, 946, 995, False, "allowed is a loss of 0.3%"),
        (1000, 950, 950, 989, False, "it is another model: 95.0% right"),
        (1000, 950, 980, 970, False, "of which both say the same in 97.0%; needed is 99%"),
        (1000, 950, 955, 995, True, "it is as good"),
        (300, 290, 290, 297, True, "it is as good"),
    ],
)
def test_whether_int8_may_be_used(pictures: int, f32: int, int8: int, agreed: int, accepted: bool, reason: str) -> None:
    decided, why = decide_int8(Int8Score(pictures, f32, int8, agreed))
    assert decided is accepted
    assert reason in why


def run(buckets: Buckets, candidate: str, champion: str = "", run: str = "r1", **arguments: Any) -> Outcome:
    return judge(
        contract.Judge(run=run, models=buckets.models, result="", candidate=candidate, champion=champion, **arguments)
    )


def held_out(buckets: Buckets, run: str = "r1") -> list[str]:
    return [row["label"] for row in buckets.manifest(run) if row["split"] == "holdout"]


def save_with_int8(buckets: Buckets, version: str, int8_bias: list[float]) -> None:
    """A good model, and a variant that differs as the bias says."""
    buckets.save_model(f"{version}-plain")
    card = registry.card(buckets.models, f"{version}-plain")
    registry.save(buckets.models, version, {ONNX: tiny.model(3), INT8: tiny.model(3, int8_bias)}, card)


@pytest.fixture
def many(tmp_path: Path) -> Buckets:
    """More than 100 pictures held out, as few as do."""
    (tmp_path / "many").mkdir()
    buckets = make_buckets(tmp_path / "many")
    buckets.put_squares(42)
    buckets.sorted(holdout=0.9)
    buckets.save_model("poor", bias=[9.0, 0.0, 0.0])
    assert len(held_out(buckets)) >= 100
    return buckets


def test_a_variant_that_says_the_same_is_accepted_for_predict_to_use(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [0.01, 0.0, 0.0])
    outcome = run(buckets, "v1", "poor")
    held = len(held_out(buckets))
    judged = registry.int8(buckets.models, "v1")
    assert judged == outcome.counts["int8"] == read_json(contract.verdict(buckets.models, "r1"))["int8"]
    assert judged == {
        "accepted": True,
        "reason": f"it is as good: 100.0% right in int8 and 100.0% in f32 on {held} held-out pictures, of which both say "
        "the same in 100.0%",
        "accuracy": {"f32": 1.0, "int8": 1.0},
        "agreement": 1.0,
        "pictures": held,
    }
    assert chosen(buckets.models, "v1", "int8")[0] == "int8"
    assert registry.int8(buckets.models, "poor") is None, "the champion was judged when it was a candidate"


def test_a_variant_that_says_something_else_is_refused_and_the_candidate_may_win_all_the_same(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [9.0, 0.0, 0.0])  # everything is a cat
    held = held_out(buckets)
    outcome = run(buckets, "v1", "poor")
    assert outcome.outputs["promote"] is True
    judged = registry.int8(buckets.models, "v1")
    assert judged is not None
    assert (judged["accepted"], judged["agreement"]) == (False, held.count("cat") / len(held))
    assert judged["accuracy"] == {"f32": 1.0, "int8": held.count("cat") / len(held)}
    assert "it loses too much" in judged["reason"]
    assert chosen(buckets.models, "v1", "int8")[0] != "int8"


def test_the_first_word_on_a_variant_stands(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [0.0, 0.0, 0.0])
    first = run(buckets, "v1").counts["int8"]
    before = buckets.tree(buckets.models)
    assert run(buckets, "v1").counts["int8"] == first
    assert buckets.tree(buckets.models) == before
    buckets.put_squares(3, first=100)
    buckets.sorted("r2", holdout=0.5)
    again = judge(contract.Judge(run="r2", models=buckets.models, result="", candidate="v1", champion=""))
    assert again.counts["pictures"] > first["pictures"]
    assert again.counts["int8"] == first


@pytest.mark.parametrize("holdout", [0.0, 0.9])
def test_on_too_few_pictures_nothing_is_said_for_good(tmp_path: Path, holdout: float) -> None:
    (tmp_path / "new").mkdir()
    buckets = make_buckets(tmp_path / "new")
    buckets.put_squares(2)
    buckets.sorted(holdout=holdout)
    held = len(held_out(buckets))
    assert bool(held) == bool(holdout)
    save_with_int8(buckets, "v1", [0.0, 0.0, 0.0])
    judged = run(buckets, "v1").counts["int8"]
    assert (judged["accepted"], judged["reason"]) == (
        False,
        f"not enough evidence: {held} held-out pictures, needed are 100",
    )
    assert judged == read_json(contract.verdict(buckets.models, "r1"))["int8"], "the verdict says so"
    assert judged["accuracy"] == ({"f32": 1.0, "int8": 1.0} if held else {"f32": None, "int8": None})
    assert registry.int8(buckets.models, "v1") is None
    buckets.put_squares(42, first=10)
    buckets.sorted("r2", holdout=0.9)
    later = judge(contract.Judge(run="r2", models=buckets.models, result="", candidate="v1", champion=""))
    assert later.counts["int8"]["accepted"] is True
    assert registry.int8(buckets.models, "v1") == later.counts["int8"]


def test_a_damaged_variant_is_named(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [0.0, 0.0, 0.0])
    path = local(f"{contract.model(buckets.models, 'v1')}/{INT8}")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BadModel, match=r"model\.int8\.onnx is not the file its card describes"):
        run(buckets, "v1")
