"""What people look at: the surest errors and the least certain pictures, as copies in the bucket and as a table."""

from __future__ import annotations

import csv
import hashlib
import threading
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pytest

from model_service.evaluation import predictions_csv, review
from model_service.evaluation.gathered import Gathered
from model_service.storage import Blob, Conflict, open_store
from tests.model_service.buckets import Buckets, make_buckets, square
from tests.model_service.evaluating import evaluated, metrics_of, predicted, read


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


@pytest.fixture
def erring(stores: Buckets) -> Buckets:
    """Three cats and three dogs, two of which are taken for cats; on folders and on Cloud Storage."""
    stores.put_squares(3, labels=["cat", "dog"])
    for number in (21, 22):
        stores.put(f"dog_{number}.jpg", square("cat", number))
    stores.sorted()
    stores.save_model("v1")
    predicted(stores)
    return stores


def reviewed(buckets: Buckets) -> dict[str, bytes]:
    """The copies by their name below `review/`."""
    tree = buckets.tree(buckets.predicted, "r1/review/")
    return {name.removeprefix("r1/review/"): data for name, data in tree.items()}


# The copies.


def test_errors_and_uncertain_pictures_are_copied_where_a_person_finds_them(erring: Buckets) -> None:
    outcome = evaluated(erring)
    copies = reviewed(erring)
    folders = {name.rpartition("/")[0] for name in copies}
    assert folders == {"dog__as__cat", "uncertain/cat", "uncertain/dog"}
    arrived = erring.arrived()
    assert sorted(data for name, data in copies.items() if name.startswith("dog__as__cat/")) == sorted(
        (arrived["dog_21.jpg"], arrived["dog_22.jpg"])
    ), "the originals, byte for byte"
    assert len(copies) == 8, "one that is both wrong and uncertain is copied once"
    folder = contract.review(erring.predicted, "r1")
    assert metrics_of(erring)["review"] == {"copies": 8, "gone": 0, "folder": folder}
    assert (outcome.counts["copies"], outcome.outputs["review"]) == (8, folder)


def test_at_most_so_many_of_each_are_copied(erring: Buckets) -> None:
    evaluated(erring, review=1)
    document = metrics_of(erring)
    assert (len(document["errors"]), len(document["uncertain"])) == (1, 1)
    assert document["review"]["copies"] == len(reviewed(erring)) <= 2


@pytest.mark.parametrize("asked", [{"review": 0}, {"to_predict": ""}])
def test_nobody_needs_to_have_any(erring: Buckets, asked: dict[str, Any]) -> None:
    outcome = evaluated(erring, **asked)
    assert reviewed(erring) == {}
    assert metrics_of(erring)["review"] is outcome.outputs["review"] is None
    assert outcome.counts["copies"] == 0


def test_a_picture_that_is_gone_is_skipped_and_counted(erring: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    name = next(row["copy"] for row in erring.manifest() if row["uri"].endswith("dog_21.jpg"))
    erring.remove(f"{erring.to_predict}/{name}")
    evaluated(erring)
    assert metrics_of(erring)["review"] | {"folder": ""} == {"copies": 7, "gone": 1, "folder": ""}
    assert len(reviewed(erring)) == 7
    assert f"1 of 8 copies in {erring.to_predict} are gone, the first: {name}" in caplog.text


def test_another_picture_in_its_place_is_not_shown_for_it(erring: Buckets) -> None:
    name = next(row["copy"] for row in erring.manifest() if row["uri"].endswith("dog_21.jpg"))
    store = open_store(erring.to_predict)
    store.compare_and_swap(name, b"another picture", store.stat(name).generation)
    evaluated(erring)
    assert metrics_of(erring)["review"]["gone"] == 1
    assert b"another picture" not in reviewed(erring).values()


def test_a_copy_made_by_an_attempt_that_was_killed_counts_though_its_original_went_since(erring: Buckets) -> None:
    evaluated(erring)
    before = erring.tree(erring.predicted)
    for name in ("metrics.json", "report.html"):
        erring.remove(f"{erring.predicted}/r1/{name}")
    for row in erring.manifest():
        erring.remove(f"{erring.to_predict}/{row['copy']}")
    evaluated(erring)
    assert metrics_of(erring)["review"]["gone"] == 0
    assert reviewed(erring) == {
        name.removeprefix("r1/review/"): data for name, data in before.items() if "/review/" in name
    }


class Slow:
    """A store whose copies wait for one another, to see how many there are at once."""

    uri = "file:///slow"

    def __init__(self) -> None:
        self.at_once, self._now, self._lock = 0, 0, threading.Lock()
        self._many = threading.Event()

    def stat(self, name: str) -> Blob:
        return Blob(name, 7, 1)

    def copy_if_absent(self, *_: Any) -> None:
        with self._lock:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            if self._now == review.THREADS:
                self._many.set()
        assert self._many.wait(20), "they are made side by side"
        with self._lock:
            self._now -= 1


def test_copies_are_made_side_by_side_and_not_too_many_at_once() -> None:
    slow: Any = Slow()
    assert review.copy(slow, slow, [("a.jpg", 7, f"{n}.jpg") for n in range(100)]) == {"copies": 100, "gone": 0}
    assert slow.at_once == review.THREADS


def test_a_picture_of_which_sort_made_no_copy_is_gone() -> None:
    unasked: Any = Slow()
    found = gathered(["cat"], {"label": "cat", "predicted": "cat", "copy": None})
    assert review.copy(unasked, unasked, review.copies(found, [0], "r1/review")) == {"copies": 0, "gone": 1}
    assert unasked.at_once == 0


class Refusing(Slow):
    def copy_if_absent(self, *_: Any) -> None:
        raise Conflict("the bucket is out of order")


def test_what_storage_refuses_is_no_picture_that_is_gone() -> None:
    refusing: Any = Refusing()
    with pytest.raises(Conflict, match="out of order"):
        review.copy(refusing, refusing, [("a.jpg", 7, "b.jpg")])


# Their names.


def gathered(classes: list[str], *pictures: dict[str, Any]) -> Gathered:
    """Of pictures, each with its label, what was predicted, and anything else that matters."""
    count = len(pictures)
    rows = [
        {
            "key": f"{n:020x}",
            "uri": f"gs://all/{n}.jpg",
            "shard": "train-00000.tar",
            "offset": 512,
            "copy": f"{picture['label']}/{n}.abc.jpg",
            "size": 7,
            "width": 40,
            "height": 30,
            "batch": "r1/00000-abc",
        }
        | {name: value for name, value in picture.items() if name not in ("predicted", "probabilities")}
        for n, picture in enumerate(pictures)
    ]
    probabilities = np.array([picture.get("probabilities", [1.0] * len(classes)) for picture in pictures], np.float32)
    best = -np.sort(-probabilities, axis=1)
    return Gathered(
        classes=classes,
        pictures=pa.Table.from_pylist(rows),
        doubted=0,
        predicted=np.array([classes.index(picture["predicted"]) for picture in pictures], np.int32),
        probabilities=probabilities,
        numbers={
            "probability": best[:, 0],
            "margin": best[:, 0] - (best[:, 1] if len(classes) > 1 else 0),
            "brightness": np.zeros(count, np.float32),
            "sharpness": np.zeros(count, np.float32),
        },
        sampled=np.empty(0, np.int64),
        embeddings=None,
        quarantined={},
        quarantine=[],
    )


def places(found: Gathered) -> list[str]:
    return [to for _, _, to in review.copies(found, range(len(found.pictures)), "r1/review")]


@pytest.mark.parametrize("label", ["red_fox", "кот", "x" * 100])
def test_a_label_is_a_folders_name_as_it_is(label: str) -> None:
    found = gathered([label], {"label": label, "predicted": label, "copy": f"{label}/7.abc.jpg"})
    assert places(found) == [f"r1/review/uncertain/{label}/7.abc.jpg"]


@pytest.mark.parametrize("label", ["..", ".", "../../secret", "a\\b", "a\nb", "\x00", "я" * 125, "x" * 101])
def test_no_label_leads_out_of_the_folder_or_is_too_long_for_one(label: str) -> None:
    (place,) = places(gathered(["cat"], {"label": label, "predicted": "cat", "copy": "x/y.jpg"}))
    parts = place.split("/")
    assert parts[:2] == ["r1", "review"]
    assert len(parts) == 4
    assert not {"", ".", ".."} & set(parts)
    assert not any(ord(character) < 32 for character in place)
    assert max(len(one.encode()) for one in parts) <= 255
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    assert parts[2].endswith(f".{digest}__as__cat"), "two odd labels stay apart"


def test_two_long_labels_still_make_a_folders_name() -> None:
    long = "ж" * 125
    (place,) = places(gathered(["cat", long + "a"], {"label": long, "predicted": long + "a"}))
    assert len(place.split("/")[2].encode()) <= 255


# The table.


def table(found: Gathered, tmp_path: Path) -> list[dict[str, str]]:
    path = tmp_path / "predictions.csv"
    predictions_csv.write(found, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_a_picture_sorted_by_uri(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.put("dog_9.jpg", square("cat", 9))
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1")
    predicted(buckets)
    outcome = evaluated(buckets, csv=True)
    assert outcome.outputs["csv"] == contract.predictions_csv(buckets.predicted, "r1")
    text = read(outcome.outputs["csv"])
    assert text.startswith(b"\xef\xbb\xbfkey,"), "the mark by which Excel knows UTF-8"
    rows = list(csv.DictReader(text.decode("utf-8-sig").splitlines()))
    assert tuple(rows[0]) == predictions_csv.COLUMNS
    assert [row["uri"].rpartition("/")[2] for row in rows] == sorted(buckets.arrived())
    wrong = next(row for row in rows if row["uri"].endswith("dog_9.jpg"))
    assert (wrong["label"], wrong["predicted"], wrong["right"]) == ("dog", "cat", "no")
    assert {row["right"] for row in rows if row is not wrong} == {"yes"}
    assert wrong["second_guess"] in ("dog", "zebra")
    difference = float(wrong["probability"]) - float(wrong["second_probability"])
    assert float(wrong["margin"]) == pytest.approx(difference, abs=2e-4)


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_no_cell_is_a_formula(start: str, tmp_path: Path) -> None:
    picture = {"label": f"{start}cat", "predicted": f"{start}dog", "uri": f"{start}.jpg", "probabilities": [0.25, 0.75]}
    (row,) = table(gathered(["other", f"{start}dog"], picture), tmp_path)
    assert (row["uri"], row["label"], row["predicted"]) == (f"'{start}.jpg", f"'{start}cat", f"'{start}dog")
    assert (row["second_guess"], row["second_probability"], row["margin"]) == ("other", "0.2500", "0.5000")


def test_names_with_commas_quotes_and_lines_stay_one_cell(tmp_path: Path) -> None:
    uri = 'gs://all/a "big", old\ncat.jpg'
    (row,) = table(gathered(["cat"], {"label": "cat", "predicted": "cat", "uri": uri}), tmp_path)
    assert row["uri"] == uri


def test_a_model_with_one_class_has_no_second_guess(tmp_path: Path) -> None:
    (row,) = table(gathered(["cat"], {"label": "cat", "predicted": "cat"}), tmp_path)
    assert (row["second_guess"], row["second_probability"]) == ("", "")


def test_a_run_without_sure_pictures_has_a_table_without_rows(tmp_path: Path) -> None:
    found = gathered(["cat"], {"label": "cat", "predicted": "cat"})
    found.pictures = found.pictures.slice(0, 0)
    assert table(found, tmp_path) == []
