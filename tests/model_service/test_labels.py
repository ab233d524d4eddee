"""What a name and a content decide: label, split and the name of the copy."""

from __future__ import annotations

import hashlib
import itertools
import re
import signal
import subprocess
import sys
import threading
import time
import unicodedata

import menagerie_contract as contract
import pytest

from model_service.errors import StepError
from model_service.sorting.labels import Rule, copy_name, held_label, normalise, split_of


def label_of(name: str, rule: Rule) -> str | None:
    raw = rule.raw_label(name)
    return None if raw is None else normalise(raw)


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
    assert label_of(name, Rule("filename")) == label


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
        ("cat /1.jpg", "cat"),
        (".cat/1.jpg", "cat"),
        ("../1.jpg", None),
        ("x/./1.jpg", "x"),
        ("a\x00b/1.jpg", None),
        ("polar\tbear/1.jpg", "polar_bear"),
    ],
)
def test_the_folder_tells_the_label(name: str, label: str | None) -> None:
    assert label_of(name, Rule("folder")) == label


@pytest.mark.parametrize(
    ("pattern", "name", "label"),
    [
        (r"^(?P<label>[a-z]+)", "cat17b.jpg", "cat"),
        (r"-(?P<label>\w+)-", "IMG-Cat-7.jpg", "cat"),  # found anywhere, unless the pattern is anchored
        (r"(?P<label>cat|dog)", "zoo/a dog 3.webp", "dog"),
        (r"(?P<label>cat|dog)", "cat/a cow 3.webp", None),  # the folder is no part of the name
        (r"^(?P<label>[^.]+)", "okapi", "okapi"),
        (r"^IMG|(?P<label>cat)", "IMG_7.jpg", None),  # it matches, but without the group
    ],
)
def test_a_pattern_of_ones_own_tells_the_label(pattern: str, name: str, label: str | None) -> None:
    assert label_of(name, Rule("filename", pattern)) == label


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?P<label>", "no regular expression: missing"),
        ("[", "no regular expression"),
        (r"^(.+?)_\d+$", "no group"),
        (r"^(?P<class>.+?)_\d+$", "no group"),
        ("", "no group"),
        ("(" * 2_000 + "(?P<label>a)" + ")" * 2_000, "no regular expression: maximum recursion"),
    ],
)
def test_a_pattern_that_tells_no_label_is_refused_at_once(pattern: str, why: str) -> None:
    with pytest.raises(StepError, match=why) as refused:
        Rule("filename", pattern)
    assert "--label-pattern" in refused.value.remedy


def test_a_pattern_does_not_matter_to_other_rules() -> None:
    assert Rule("folder", "(").raw_label("cat/dog_1.jpg") == "cat"


def test_the_rule_manifest_leaves_it_to_the_manifest() -> None:
    assert Rule("manifest").raw_label("cat/cat_1.jpg") is None


@pytest.mark.parametrize("kind", ["filename", "folder", "manifest"])
def test_what_is_held_has_the_label_of_its_folder_whatever_the_rule(kind: str) -> None:
    assert label_of("_held/okapi/zoo/cat_1.jpg", Rule(kind)) == "okapi"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("_held/cat/x.jpg", "cat"),
        ("_held/polar_bear/a/b.jpg", "polar_bear"),
        ("_held/x.jpg", None),
        ("_held//x.jpg", ""),
        ("_held", None),
        ("_heldcat/cat/x.jpg", None),
        ("zoo/_held/cat/x.jpg", None),
        ("cat/x.jpg", None),
    ],
)
def test_only_folders_below_held_are_labels_that_are_held(name: str, label: str | None) -> None:
    assert held_label(name) == label


def test_the_spelling_is_kept_until_the_label_is_normalised() -> None:
    assert Rule("filename").raw_label("Polar  Bear_3.jpg") == "Polar  Bear"
    assert Rule("folder").raw_label("Polar Bear/3.jpg") == "Polar Bear"


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("Polar Bear", "polar_bear"),
        ("  cat\n", "cat"),
        ("CAT", "cat"),
        ("\ufeffcat", "cat"),  # what nobody sees makes no other class
        ("c\u200bat", "cat"),
        ("\u202etac", "tac"),
        ("می\u200cمون", "می\u200cمون"),  # but here the joiner is part of the word
        ("_quarantine", "quarantine"),  # so none of ours, and none that is hidden
        ("_held", "held"),
        (".cat", "cat"),
        ("..", None),
        (".", None),
        ("", None),
        (" ", None),
        ("17", None),
        ("cat/dog", None),
        ("../../cat", None),
        ("c\x00at", None),
        ("c\x1b[2Jat", None),
        ("c\ud800at", None),
        ("x" * 250, "x" * 250),
        ("x" * 251, None),
        ("ж" * 126, None),
    ],
)
def test_a_label_is_fit_for_a_folders_name_or_is_none(raw: str, label: str | None) -> None:
    assert normalise(raw) == label


def changeable() -> list[str]:
    """Characters that normalisation changes, by themselves or among others."""
    characters = map(chr, range(sys.maxunicode + 1))
    return [
        c for c in characters if c.casefold() != c or unicodedata.combining(c) or unicodedata.normalize("NFD", c) != c
    ]


def test_a_normalised_label_is_normalised_already() -> None:
    """As folders in `_held/` are read back."""
    characters = changeable()
    for n in range(0, len(characters), 20):
        for joint in ("", "\u0301", "a"):
            label = normalise(f"a{joint.join(characters[n : n + 20])}"[:60])
            assert label is not None
            assert normalise(label) == label
            assert unicodedata.is_normalized("NFC", label)


def test_it_does_not_matter_how_accents_are_written() -> None:
    for c in changeable():
        for word in (f"a{c}", f"{c}a\u0301", f"α{c}\u0345\u0301"):
            assert normalise(unicodedata.normalize("NFD", word)) == normalise(unicodedata.normalize("NFC", word))


def test_the_default_rule_takes_no_time_on_the_longest_names() -> None:
    assert Rule("filename", contract.LABEL_PATTERN).raw_label("1" * 1000 + "x.jpg") is None
    assert Rule("filename", contract.LABEL_PATTERN).raw_label("((((" * 250 + "x.jpg") is None


def test_the_default_rule_finds_what_pythons_own_expressions_find() -> None:
    rule, own = Rule("filename"), re.compile(contract.LABEL_PATTERN)
    for parts in itertools.product(
        ("", "cat", "Кот 2", "1", "\n"), ("", "_", "-", " ", "(", "٣"), ("", "7", "1)", "x")
    ):
        stem = "".join(parts)
        match = own.search(stem)
        assert rule.raw_label(f"zoo/{stem}.jpg") == (match["label"] if match else None)


ENDLESS = r"^(?P<label>(a|aa)+)$"
LONG = "a" * 60 + "!"


def test_a_pattern_that_would_take_for_ever_is_refused_after_a_second() -> None:
    begun = time.thread_time()
    with pytest.raises(StepError) as refused:
        Rule("filename", ENDLESS).raw_label(f"zoo/{LONG}.jpg")
    assert 0.5 < time.thread_time() - begun < 2
    assert ENDLESS in refused.value.message
    assert LONG in refused.value.message
    assert "--label-pattern" in refused.value.remedy
    assert not refused.value.retry


def test_no_name_is_refused_for_the_time_that_others_take() -> None:
    """The limit is on the CPU time of all threads: three beside a slow name use it up before the name's own second."""
    spent: list[float] = []

    def take_for_ever() -> None:
        begun = time.thread_time()
        with pytest.raises(StepError):
            Rule("filename", ENDLESS).raw_label(f"{LONG}.jpg")
        spent.append(time.thread_time() - begun)

    threads = [threading.Thread(target=take_for_ever) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seconds for seconds in spent if seconds < 0.9] == []
    assert len(spent) == 4


def test_a_step_with_such_a_pattern_still_ends_when_told_to() -> None:
    """The interpreter's lock is not held meanwhile, so a handler runs and what it must do is done."""
    program = (
        "import signal, sys, threading\n"
        "from model_service.sorting import labels\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "labels.SECONDS = 1000\n"
        f"search = lambda: labels.Rule('filename', {ENDLESS!r}).raw_label({LONG + '.jpg'!r})\n"
        "threading.Thread(target=search, daemon=True).start()\n"
        "print('begun', flush=True)\n"
        "threading.Event().wait(60)\n"
    )
    step = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert step.stdout is not None
        assert step.stdout.readline() == "begun\n"
        step.send_signal(signal.SIGTERM)
        assert step.wait(20) == 7
    finally:
        step.kill()
        step.wait()
        if step.stdout is not None:
            step.stdout.close()


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


def test_a_copy_may_have_the_whole_hash_and_still_a_name_that_file_systems_allow() -> None:
    assert copy_name("cat_17.jpg", "cat", SHA, 64) == f"cat/cat_17.{SHA}.jpg"
    assert len(copy_name("ж" * 115 + "_1." + "x" * 19, "cat", SHA, 64).removeprefix("cat/").encode()) <= 255


def test_an_endless_extension_is_left_out_of_a_copys_name() -> None:
    assert copy_name("cat_17." + "x" * 200, "cat", SHA) == "cat/cat_17.0123456789"
