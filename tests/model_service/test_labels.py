"""What a name and a content decide: label, split and the name of the copy."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest

from model_service.labels import copy_name, label_of, split_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat_17.jpg", "cat"),
        ("cat-17.jpg", "cat"),
        ("cat 17.jpg", "cat"),
        ("cat17.jpg", "cat"),
        ("cat (17).jpg", "cat"),
        ("cat_(17).jpeg", "cat"),
        ("Cat_0001.JPG", "cat"),
        ("deep/down/dog_1.png", "dog"),
        ("dog/cat_1.png", "cat"),
        ("polar bear_3.jpg", "polar_bear"),
        ("Polar  Bear 3.jpg", "polar_bear"),
        ("polar__bear_3.jpg", "polar_bear"),
        ("guinea-pig_3.jpg", "guinea-pig"),
        ("a1_2.jpg", "a1"),
        ("кот_5.jpg", "кот"),
        ("КОТ_5.jpg", "кот"),
        ("猫_5.jpg", "猫"),
        ("straße_1.jpg", "strasse"),
        (unicodedata.normalize("NFD", "Löwe_5.jpg"), "löwe"),
        ("archive.v2.cat_9.jpg", "archive.v2.cat"),
        ("<script>alert(1)_1.jpg", "<script>alert(1)"),
        ("cat.jpg", None),
        ("cat_.jpg", None),
        ("17.jpg", None),
        ("2024-05-17.jpg", None),
        ("_1.jpg", None),
        ("🐈_1.jpg", None),
        ("IMG.jpg", None),
        (".jpg", None),
        ("cat_17_final.jpg", None),
        ("cat/17.jpg", None),
    ],
)
def test_the_file_name_tells_the_label(name: str, label: str | None) -> None:
    assert label_of(name, "filename") == label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat/17.jpg", "cat"),
        ("zoo/Polar Bear/IMG_0001.jpg", "polar_bear"),
        ("zoo/cat_17/x.jpg", "cat_17"),
        ("Кот/1.jpg", "кот"),
        (unicodedata.normalize("NFD", "Löwe/5.jpg"), "löwe"),
        ("cat_17.jpg", None),
        ("2024/cat_17.jpg", None),
        ("_/1.jpg", None),
    ],
)
def test_the_folder_tells_the_label(name: str, label: str | None) -> None:
    assert label_of(name, "folder") == label


def contents(count: int) -> list[str]:
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


def test_a_content_never_changes_sides() -> None:
    assert split_of("0" * 64, 0.2) == "holdout"
    assert split_of("3333" + "0" * 60, 0.2) == "holdout"
    assert split_of("3334" + "0" * 60, 0.2) == "train"
    assert split_of("f" * 64, 0.2) == "train"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_holdout_has_about_its_share(share: float) -> None:
    held = sum(split_of(sha256, share) == "holdout" for sha256 in contents(10_000))
    assert held / 10_000 == pytest.approx(share, abs=0.015)


def test_a_larger_holdout_holds_the_smaller_one() -> None:
    def held(share: float) -> set[str]:
        return {sha256 for sha256 in contents(2_000) if split_of(sha256, share) == "holdout"}

    assert held(0.1) < held(0.2)


@pytest.mark.parametrize(("share", "split"), [(0.0, "train"), (1.0, "holdout")])
def test_none_and_all_can_be_held_out(share: float, split: str) -> None:
    assert {split_of(sha256, share) for sha256 in [*contents(100), "0" * 64, "f" * 64]} == {split}


SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("cat_17.jpg", "cat/cat_17.0123456789.jpg"),
        ("a/b/cat_17.JPG", "cat/cat_17.0123456789.jpg"),
        ("two words_1.png", "cat/two words_1.0123456789.png"),
        ("🐈.v2_1.webp", "cat/🐈.v2_1.0123456789.webp"),
    ],
)
def test_a_copy_stands_under_its_label_with_its_hash(name: str, copy: str) -> None:
    assert copy_name(name, "cat", SHA) == copy


def test_a_copy_of_the_longest_name_still_has_a_name_that_file_systems_allow() -> None:
    name = copy_name("ж" * 125 + "_1.jpg", "cat", SHA).removeprefix("cat/")
    assert len(name.encode()) <= 255
    assert name == "ж" * 90 + ".0123456789.jpg"
