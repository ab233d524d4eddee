"""The self test of a model: the questions that it carries, and the answers that the website must give."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from model_service import batches, images, selftest
from model_service.errors import StepError
from model_service.registry import BadModel
from model_service.selftest import Picture, Question
from model_service.serve.holder import Served
from model_service.serve.refusal import LIMITS
from model_service.training.dataset import parts
from tests.model_service.buckets import CLASSES, Buckets, make_buckets
from tests.model_service.conftest import REPOSITORY, Trained
from tests.model_service.tiny_model import save_tiny_model


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def answers(models: str, version: str, questions: list[Question]) -> list[dict[str, float]]:
    """What the website answers to the questions."""
    served = Served(models, version)
    found = (served.answer(question.jpeg, LIMITS)["classes"] for question in questions)
    return [{one["label"]: one["probability"] for one in classes} for classes in found]


# Of a trained model


def test_a_trained_model_carries_eight_pictures_of_its_train_part(trained: Trained) -> None:
    questions = selftest.load(trained.buckets.models, trained.version)
    shards = batches.shards(trained.buckets.models, trained.buckets.batch(), "train")
    packed = {sample.jpeg: sample.meta["label"] for sample in batches.samples(trained.buckets.models, shards)}
    assert len({question.jpeg for question in questions}) == 8
    assert all(packed[question.jpeg] == question.label for question in questions), "byte for byte as packed"
    assert {question.label for question in questions} == set(CLASSES)


def test_the_pictures_kept_back_from_learning_come_first(trained: Trained) -> None:
    """The validation part is 10 %: fewer than eight, so the others are of the part learned from."""
    shards = batches.shards(trained.buckets.models, trained.buckets.batch(), "train")
    samples = list(batches.samples(trained.buckets.models, shards))
    _, watched = parts([sample.key for sample in samples], trained.step.validation, trained.step.seed)
    questions = selftest.load(trained.buckets.models, trained.version)
    assert {question.jpeg for question in questions[: len(watched)]} == {samples[i].jpeg for i in watched}


def test_the_expected_answers_are_those_of_the_website(trained: Trained) -> None:
    models, version = trained.buckets.models, trained.version
    questions = selftest.load(models, version)
    for question, answer in zip(questions, answers(models, version, questions), strict=True):
        assert list(question.probabilities) == trained.card["classes"]
        assert answer == pytest.approx(question.probabilities, abs=1e-4)


# Of the tiny models of other tests


def test_a_tiny_model_carries_one_too(buckets: Buckets) -> None:
    save_tiny_model(buckets.models, "v1", CLASSES)
    questions = selftest.load(buckets.models, "v1")
    assert len({question.jpeg for question in questions}) == 8
    for question, answer in zip(questions, answers(buckets.models, "v1", questions), strict=True):
        assert answer == pytest.approx(question.probabilities, abs=1e-4)
        assert max(answer, key=lambda label: answer[label]) == question.label


def test_a_model_that_was_damaged_before_its_hash_was_taken_fails_its_self_test(buckets: Buckets) -> None:
    save_tiny_model(buckets.models, "v1", CLASSES, [0.0, 5.0, 0.0], tested_with=[0.0, 0.0, 0.0])
    questions = selftest.load(buckets.models, "v1")
    answered = answers(buckets.models, "v1", questions)
    assert max(abs(a["dog"] - q.probabilities["dog"]) for a, q in zip(answered, questions, strict=True)) > 0.5


# Which pictures are asked


def pictures(count: int, labels: list[str] = CLASSES, side: int = 400) -> list[Picture]:
    return [Picture(f"{n:020x}", labels[n % len(labels)], side) for n in range(count)]


def labels_of(keys: list[str], among: list[Picture]) -> Counter[str]:
    labels = {picture.key: picture.label for picture in among}
    return Counter(labels[key] for key in keys)


def test_the_choice_is_spread_over_the_classes() -> None:
    some = pictures(90)
    assert sorted(labels_of(selftest.choose(some, {p.key for p in some}, 42), some).values()) == [2, 3, 3]
    many = pictures(200, [f"class {n}" for n in range(20)])
    assert set(labels_of(selftest.choose(many, set(), 42), many).values()) == {1}


def test_pictures_learned_from_are_asked_only_when_the_others_are_too_few() -> None:
    some = pictures(90)
    watched = {p.key for p in some[:30]}
    assert set(selftest.choose(some, watched, 42)) < watched
    few = {p.key for p in some[:5]}
    assert set(selftest.choose(some, few, 42)[:5]) == few


def test_the_choice_depends_on_the_seed_and_on_nothing_else() -> None:
    some = pictures(90)
    chosen = selftest.choose(some, set(), 42)
    assert selftest.choose(reversed(some), set(), 42) == chosen
    assert selftest.choose(some, set(), 43) != chosen


def test_with_fewer_than_eight_pictures_all_of_them_are_asked() -> None:
    assert sorted(selftest.choose(pictures(5), set(), 42)) == [p.key for p in pictures(5)]


def test_only_pictures_that_the_website_takes_are_asked() -> None:
    """It refuses a side below 32 pixels, which a long and thin picture may have after packing."""
    thin, fine = pictures(90, side=31), Picture("f" * 20, "cat", 32)
    assert selftest.choose([*thin, fine], {p.key for p in thin}, 42) == [fine.key]
    with pytest.raises(StepError, match="no training picture is large enough for the website") as failed:
        selftest.choose(thin, set(), 42)
    assert "at least 32 pixels" in failed.value.remedy


def test_the_side_is_that_of_the_packed_picture(buckets: Buckets) -> None:
    from model_service.training import dataset

    out = io.BytesIO()
    Image.new("RGB", (1100, 60), "red").save(out, "JPEG")
    buckets.put("cat_99.jpg", out.getvalue())
    buckets.put_squares(4)
    buckets.sorted(holdout=0.0)
    seen: list[Picture] = []

    def keep(found: list[Picture]) -> list[str]:
        seen.extend(found)
        return [found[3].key, found[1].key]

    data = dataset.load(buckets.train_step(image_size=32), buckets.root, keep)
    assert Counter(picture.side for picture in seen) == {48: 12, 28: 1}
    assert [sample.key for sample in data.kept] == [seen[3].key, seen[1].key]
    assert all(images.decode(sample.jpeg, LIMITS).mode == "RGB" for sample in data.kept)


# At rest


def test_a_damaged_or_missing_self_test_is_refused(buckets: Buckets) -> None:
    folder = buckets.root / "animals_models/resnet34/v1"
    save_tiny_model(buckets.models, "v1", CLASSES)
    data = (folder / selftest.FILE).read_bytes()
    (folder / selftest.FILE).write_bytes(data.replace(b'"cat": 0', b'"cat": 1', 1))
    with pytest.raises(BadModel, match="sha256 differs"):
        selftest.load(buckets.models, "v1")
    (folder / selftest.FILE).unlink()
    with pytest.raises(BadModel, match=r"selftest\.tar is missing"):
        selftest.load(buckets.models, "v1")


@pytest.mark.parametrize("content", [b"no tar at all", b""])
def test_a_self_test_that_is_no_shard_is_refused_by_name(buckets: Buckets, content: bytes) -> None:
    from model_service import registry

    registry.save(buckets.models, "v1", {selftest.FILE: content}, {})
    with pytest.raises(BadModel, match="self test of model v1 is damaged"):
        selftest.load(buckets.models, "v1")


def test_a_model_made_before_there_were_self_tests_says_so(buckets: Buckets) -> None:
    from model_service import registry

    registry.save(buckets.models, "v1", {"model.onnx": b"onnx"}, {})
    with pytest.raises(BadModel, match=r"model v1 has no file selftest\.tar"):
        selftest.load(buckets.models, "v1")


def test_reading_it_needs_nothing_that_the_website_lacks() -> None:
    code = (
        "import sys; sys.path.insert(0, 'plugins'); import model_service.selftest;"
        "print({'torch', 'fastai', 'pyarrow', 'sklearn'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
