"""What a canary is judged by, the self test's questions over HTTP, and where its pictures come from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import menagerie_contract as contract
import pytest
from PIL import Image

from model_service import selftest, site
from model_service.deploy import canary, smoke
from model_service.deploy.canary import Tally, held_out, verdict
from model_service.deploy.website import Answer, Website
from model_service.selftest import Question
from model_service.site import Site
from tests.model_service.buckets import Buckets, encoded, local, make_buckets
from tests.model_service.tiny_model import save_tiny_model
from tests.model_service.websites import Place, make_place, running

STEP = contract.Deploy(
    run="r2", models="file:///m", result="", model="v2", canary_percent=10, canary_errors=0.1, canary_agreement=0.5
)
CAT = Question(b"cat.jpg", "cat", {"cat": 0.9, "dog": 0.1})


def answer(model: str, cat: float = 0.9) -> Answer:
    classes = [{"label": "cat", "probability": cat}, {"label": "dog", "probability": 1 - cat}]
    return Answer(200, {"model": model, "classes": sorted(classes, key=lambda c: -float(str(c["probability"])))})


FAILED = Answer(500, {}, "HTTP 500")
BUSY = Answer(503, {"reason": "busy"}, "too many")


def tallied(*answers: Answer) -> Tally:
    tally = Tally()
    for n, one in enumerate(answers):
        tally.count(one, b"%d" % (n // 2), None, STEP)  # each picture is shown twice
    return tally


def test_answers_are_the_canarys_or_the_champions_by_the_model_that_gave_them() -> None:
    tally = tallied(answer("v1"), answer("v2"), BUSY, answer("v2", 0.2))
    assert (tally.answers, tally.errors) == (2, [])
    assert (tally.canary, tally.champion) == ({b"0": "cat", b"1": "dog"}, {b"0": "cat"})


TOO_SMALL = Answer(422, {"reason": "too-small"}, "The picture is too small")


def test_a_picture_that_the_website_takes_from_nobody_is_no_error_of_the_canary() -> None:
    assert tallied(answer("v2"), TOO_SMALL).errors == []
    asked = Tally()
    asked.count(TOO_SMALL, CAT.jpeg, CAT, STEP)  # but the self test's pictures it must take
    assert len(asked.errors) == 1


def test_errors_say_something_of_the_canary_only_when_the_champion_answers() -> None:
    assert not tallied(FAILED, FAILED).told
    assert not tallied(answer("v1")).told
    assert tallied(answer("v1"), FAILED).told
    assert tallied(answer("v2")).told


def test_a_canary_that_answers_and_agrees_is_promoted() -> None:
    assert verdict(tallied(answer("v1"), answer("v2"), answer("v1"), answer("v2")), STEP, final=True) == ""


def test_a_canary_that_was_never_asked_is_not() -> None:
    assert "never asked" in verdict(tallied(answer("v1")), STEP, final=True)


def test_a_canary_that_disagrees_with_the_champion_too_often_is_not() -> None:
    tally = tallied(answer("v1"), answer("v2", 0.2), answer("v1"), answer("v2", 0.2), answer("v1"), answer("v2"))
    assert verdict(tally, STEP, final=True) == "it agrees with the champion on 33% of the pictures, wanted are 50%"
    assert verdict(tally, STEP, final=False) == ""  # the rest of the time may tell otherwise
    assert verdict(tally, replace(STEP, canary_agreement=0.3), final=True) == ""


def test_a_canary_and_a_champion_that_never_saw_the_same_picture_cannot_be_compared() -> None:
    tally = tallied(answer("v2"), answer("v2"), answer("v1"), answer("v1"))
    assert "agrees with the champion on 0%" in verdict(tally, STEP, final=True)
    assert verdict(tally, replace(STEP, canary_agreement=0.0), final=True) == ""


def test_too_many_failures_end_the_watch_early_but_one_alone_does_not() -> None:
    one = tallied(answer("v2"), FAILED)
    assert verdict(one, STEP, final=False) == ""
    assert verdict(one, STEP, final=True) == "1 of its 2 answers failed: HTTP 500"
    assert "3 of its 20 answers failed" in verdict(tallied(*[answer("v2")] * 17, *[FAILED] * 3), STEP, final=False)
    few = tallied(answer("v1"), *[answer("v2")] * 19, FAILED)
    assert verdict(few, STEP, final=True) == ""


def test_another_answer_than_the_self_tests_is_a_failure_of_the_canary_only() -> None:
    tally = Tally()
    tally.count(answer("v2", 0.5), CAT.jpeg, CAT, STEP)
    tally.count(answer("v1", 0.5), CAT.jpeg, CAT, STEP)
    assert tally.errors == [
        "it gives a picture of cat the probability 0.500 of being cat, expected is 0.900 ± 0.02",
    ]


def test_an_answer_within_tolerance_is_the_expected_one() -> None:
    assert smoke.wrong(answer("v2", 0.91), CAT, 0.02) == ""
    assert smoke.wrong(answer("v2", 0.95), CAT, 0.02) != ""
    other = Question(b"", "cat", {"cat": 0.9, "eel": 0.1})
    assert "classes ['cat', 'dog'], expected are ['cat', 'eel']" in smoke.wrong(answer("v2"), other, 0.02)


def test_the_95th_percentile() -> None:
    assert smoke.p95([0.1]) == 0.1
    assert smoke.p95([0.1] * 19 + [9.0]) == 0.1
    assert smoke.p95([0.1] * 18 + [9.0] * 2) == 9.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = make_place(tmp_path)
    save_tiny_model(place.models, "v1", ["cat", "dog"])
    save_tiny_model(place.models, "odd", ["cat", "dog"], tested_with=[0.0, 3.0])
    return place


@pytest.fixture
def website(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    monkeypatch.setattr(smoke, "SETTLE", 2.0)
    site.write(place.site, Site("v1"), 0)
    with running(place) as url:
        yield Website(url)


def test_a_website_with_the_models_own_answers_is_proved(place: Place, website: Website) -> None:
    step = replace(STEP, models=place.models, model="v1")
    assert 0 < smoke.prove(website, step, selftest.load(place.models, "v1")) < 2


def test_a_model_that_answers_otherwise_than_it_did_when_exported_is_refused_at_once(
    place: Place, website: Website
) -> None:
    site.write(place.site, Site("odd"), site.read(place.site)[1])
    step = replace(STEP, models=place.models, model="odd")
    with pytest.raises(smoke.Refused, match="fails the self test of model odd: it gives a picture of"):
        smoke.prove(website, step, selftest.load(place.models, "odd"))


def test_an_address_at_which_nobody_answers_is_not_the_models_fault(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "SETTLE", 0.1)
    step = replace(STEP, models=place.models, model="v1")
    with pytest.raises(smoke.Unreached, match=r"cannot be asked: http://127\.0\.0\.1:1 does not answer") as caught:
        smoke.prove(Website("http://127.0.0.1:1"), step, selftest.load(place.models, "v1"))
    assert "http://127.0.0.1:1" in caught.value.remedy
    assert caught.value.retry


def test_another_model_that_goes_on_answering_is_refused_after_a_while(place: Place, website: Website) -> None:
    step = replace(STEP, models=place.models, model="odd")
    with pytest.raises(smoke.Refused, match="model v1 answers"):
        smoke.prove(website, step, selftest.load(place.models, "odd"))


def test_answers_that_take_too_long_are_refused(place: Place, website: Website) -> None:
    step = replace(STEP, models=place.models, model="v1", max_p95=0.00001)
    with pytest.raises(smoke.Refused, match="95 % of its answers take up to"):
        smoke.prove(website, step, selftest.load(place.models, "v1"))


def test_agreement_is_also_measured_on_the_held_out_pictures_of_the_runs_batches(tmp_path: Path) -> None:
    buckets: Buckets = make_buckets(tmp_path)
    assert held_out(buckets.models, "r1") == []
    buckets.put_squares(4)
    packed = [counts["splits"]["holdout"] for counts in buckets.sorted_in_ranges(6, holdout=0.5)]
    assert all(packed), "in both ranges"
    assert len(set(held_out(buckets.models, "r1"))) == sum(packed)
    assert held_out(buckets.models, "r2") == []
    local(contract.ledger_head(buckets.models)).unlink()
    assert held_out(buckets.models, "r1") == []  # not committed


def test_a_held_out_picture_that_was_packed_too_thin_for_the_website_is_not_asked(tmp_path: Path) -> None:
    buckets: Buckets = make_buckets(tmp_path)
    for n in range(20):
        buckets.put(f"thin_{n}.jpg", encoded(Image.new("RGB", (1024, 62), (n, 0, 0)), "PNG"))  # half of it is 31
        buckets.put(f"wide_{n}.jpg", encoded(Image.new("RGB", (1024, 64), (n, 0, 0)), "PNG"))
    buckets.sorted(holdout=0.5)
    held = [row["label"] for row in buckets.manifest() if row["split"] == "holdout"]
    assert set(held) == {"thin", "wide"}
    asked = [Image.open(io.BytesIO(jpeg)).size for jpeg in held_out(buckets.models, "r1")]
    assert asked == [(512, 32)] * held.count("wide")


def test_a_few_held_out_pictures_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets: Buckets = make_buckets(tmp_path)
    buckets.put_squares(4)
    buckets.sorted_in_ranges(6, holdout=0.5)
    monkeypatch.setattr(canary, "HELD_OUT", 1)
    last = [uri for uri in buckets.shards() if "/holdout-" in uri][-1]
    local(last).write_bytes(b"never opened")
    assert len(held_out(buckets.models, "r1")) == 1
