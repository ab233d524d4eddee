"""Where pictures go that are not packed, on both kinds of store."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from model_service.sorting.quarantine import hold, put_aside
from model_service.storage import Blob, Exists, NotFound, Store, StoreError, open_store


@pytest.fixture(params=["folder", "gcs"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(request.getfixturevalue("cloud").take() if request.param == "gcs" else f"file://{tmp_path}")


def put(source: Store, name: str, data: bytes) -> Blob:
    """As people do it: what was there is replaced."""
    try:
        return source.write_if_absent(name, data)
    except Exists:
        return source.compare_and_swap(name, data, source.stat(name).generation)


def ours(source: Store, folder: str) -> dict[str, bytes]:
    return {blob.name: source.read(blob.name) for blob in source.list(f"{folder}/")}


def note(source: Store, name: str) -> Any:
    return json.loads(source.read(f"{name}.json"))


def bare(blob: Blob) -> Blob:
    """As a plan names it."""
    return Blob(blob.name, blob.size, blob.generation)


class OutOfOrder:
    """A store that takes nothing for now."""

    def __init__(self, store: Store) -> None:
        self._store, self.tried = store, list[str]()

    def write_if_absent(self, name: str, data: bytes | Path) -> Blob:
        self.tried.append(name)
        raise StoreError("out of order", retry=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TestQuarantine:
    def test_is_a_copy_with_its_name_and_a_note_beside_it(self, source: Store) -> None:
        blob = put(source, "zoo/cat_1.jpg", b"no picture")
        put_aside(source, bare(blob), "unreadable", "cannot be decoded")
        assert source.read("zoo/cat_1.jpg") == b"no picture"
        assert source.read("_quarantine/unreadable/zoo/cat_1.jpg") == b"no picture"
        assert note(source, "_quarantine/unreadable/zoo/cat_1.jpg") == {
            "name": "zoo/cat_1.jpg",
            "generation": blob.generation,
            "bytes": 10,
            "reason": "unreadable",
            "text": "cannot be decoded",
        }

    @pytest.mark.parametrize("name", ["cat_1.jpg", "cat_1.jpg.json", "n" * 250 + ".jpg"], ids=["plain", "json", "long"])
    def test_once_more_changes_nothing(self, source: Store, name: str) -> None:
        blob = bare(put(source, name, b"no picture"))
        put_aside(source, blob, "unreadable", "cannot be decoded")
        once = list(source.list())
        put_aside(source, blob, "unreadable", "cannot be decoded")
        put_aside(source, blob, "unreadable", "said otherwise by another version")
        assert list(source.list()) == once

    def test_that_was_interrupted_behind_the_note_is_completed(self, source: Store) -> None:
        blob = bare(put(source, "cat_1.jpg", b"no picture"))
        put_aside(source, blob, "unreadable", "cannot be decoded")
        copy = source.stat("_quarantine/unreadable/cat_1.jpg")
        source.delete_if_generation(copy.name, copy.generation)
        put_aside(source, blob, "unreadable", "cannot be decoded")
        assert source.read(copy.name) == b"no picture"
        assert len(ours(source, "_quarantine")) == 2

    def test_of_another_content_is_beside_the_first_under_its_generation(self, source: Store) -> None:
        put_aside(source, bare(put(source, "cat_1.jpg", b"first")), "unreadable", "cannot be decoded")
        second = put(source, "cat_1.jpg", b"other")
        put_aside(source, bare(second), "unreadable", "cannot be decoded")
        there = f"_quarantine/unreadable/{second.generation}/cat_1.jpg"
        assert source.read("_quarantine/unreadable/cat_1.jpg") == b"first"
        assert source.read(there) == b"other"
        assert note(source, there)["generation"] == second.generation

    def test_keeps_a_picture_and_a_file_named_like_its_note_apart(self, source: Store) -> None:
        """In either order."""
        contents = {"a.jpg": b"A", "a.jpg.json": b"A's", "b.jpg": b"B", "b.jpg.json": b"B's"}
        blobs = {name: bare(put(source, name, data)) for name, data in contents.items()}
        for name in ("a.jpg", "a.jpg.json", "b.jpg.json", "b.jpg"):
            put_aside(source, blobs[name], "not-an-image", "it is none")
        for name in ("a.jpg", "b.jpg"):
            assert source.read(f"_quarantine/not-an-image/{name}") == contents[name]
            assert note(source, f"_quarantine/not-an-image/{name}")["name"] == name
        for name in ("a.jpg.json", "b.jpg.json"):
            there = f"_quarantine/not-an-image/{blobs[name].generation}/{name}"
            assert source.read(there) == contents[name]
            assert note(source, there)["name"] == name
        assert len(ours(source, "_quarantine")) == 8

    def test_overwrites_nothing_that_someone_put_there(self, source: Store) -> None:
        put(source, "_quarantine/unreadable/cat_1.jpg", b"mine")
        put(source, "_quarantine/unreadable/cat_2.jpg.json", b"mine, and no JSON")
        for name in ("cat_1.jpg", "cat_2.jpg"):
            blob = put(source, name, b"no picture")
            put_aside(source, bare(blob), "unreadable", "cannot be decoded")
            assert source.read(f"_quarantine/unreadable/{blob.generation}/{name}") == b"no picture"
        assert source.read("_quarantine/unreadable/cat_1.jpg") == b"mine"
        assert source.read("_quarantine/unreadable/cat_2.jpg.json") == b"mine, and no JSON"

    @pytest.mark.parametrize("other", ["y", "", "xx"], ids=["last-byte", "shorter", "longer"])
    def test_tells_a_like_content_from_its_own(self, source: Store, other: str) -> None:
        data = b"x" * (2 << 20)
        put(source, "_quarantine/unreadable/big.jpg", data[:-1] + other.encode())
        blob = put(source, "big.jpg", data)
        put_aside(source, bare(blob), "unreadable", "cannot be decoded")
        assert source.read(f"_quarantine/unreadable/{blob.generation}/big.jpg") == data

    def test_of_a_name_too_long_is_under_its_hash(self, source: Store) -> None:
        name = "ж" * 125 + ".jpg"
        put_aside(source, bare(put(source, name, b"no picture")), "unreadable", "cannot be decoded")
        there = f"_quarantine/unreadable/{hashlib.sha256(name.encode()).hexdigest()}"
        assert source.read(there) == b"no picture"
        assert note(source, there)["name"] == name

    @pytest.mark.parametrize("first", ["deep", "deep/er.jpg"])
    def test_takes_a_file_and_a_folder_of_one_name(self, tmp_path: Path, first: str) -> None:
        """As they follow each other in a source that is a folder."""
        source = open_store(f"file://{tmp_path}")
        for name in (first, {"deep", "deep/er.jpg"}.difference({first}).pop()):
            blob = put(source, name, name.encode())
            put_aside(source, blob, "unreadable", "cannot be decoded")
            source.delete_if_generation(name, blob.generation)
            if "/" in name:
                (tmp_path / "deep").rmdir()
        data = ours(source, "_quarantine")
        assert sorted(content for name, content in data.items() if not name.endswith(".json")) == [
            b"deep",
            b"deep/er.jpg",
        ]

    def test_of_what_is_gone_or_changed_meanwhile_has_no_copy(self, source: Store) -> None:
        blob = bare(put(source, "cat_1.jpg", b"first"))
        put(source, "cat_1.jpg", b"second")
        put_aside(source, blob, "unreadable", "cannot be decoded")
        with pytest.raises(NotFound):
            source.stat("_quarantine/unreadable/cat_1.jpg")

    def test_fails_where_the_store_does(self, tmp_path: Path) -> None:
        source = open_store(f"file://{tmp_path}")
        blob = put(source, "cat_1.jpg", b"no picture")
        (tmp_path / "_quarantine").write_bytes(b"a file where the folder would be")
        with pytest.raises(StoreError, match="needs a folder"):
            put_aside(source, blob, "unreadable", "cannot be decoded")

    def test_tries_no_other_name_while_the_store_is_out_of_order(self, source: Store) -> None:
        blob = bare(put(source, "cat_1.jpg", b"no picture"))
        broken = OutOfOrder(source)
        with pytest.raises(StoreError, match="out of order"):
            put_aside(broken, blob, "unreadable", "cannot be decoded")
        assert broken.tried == ["_quarantine/unreadable/cat_1.jpg.json"]


class TestHeld:
    def test_is_a_copy_under_its_label(self, source: Store) -> None:
        blob = bare(put(source, "zoo/okapi_1.jpg", b"a picture"))
        hold(source, blob, "okapi")
        assert ours(source, "_held") == {"_held/okapi/zoo/okapi_1.jpg": b"a picture"}
        assert source.read("zoo/okapi_1.jpg") == b"a picture"

    def test_once_more_changes_nothing(self, source: Store) -> None:
        blob = bare(put(source, "okapi_1.jpg", b"a picture"))
        hold(source, blob, "okapi")
        once = list(source.list())
        hold(source, blob, "okapi")
        assert list(source.list()) == once

    def test_of_the_same_content_put_again_changes_nothing(self, source: Store) -> None:
        hold(source, bare(put(source, "okapi_1.jpg", b"a picture")), "okapi")
        hold(source, bare(put(source, "okapi_1.jpg", b"a picture")), "okapi")
        assert ours(source, "_held") == {"_held/okapi/okapi_1.jpg": b"a picture"}

    def test_of_another_content_is_beside_the_first_under_its_generation(self, source: Store) -> None:
        hold(source, bare(put(source, "okapi_1.jpg", b"a picture")), "okapi")
        second = bare(put(source, "okapi_1.jpg", b"another 1"))
        for _ in range(2):
            hold(source, second, "okapi")
        assert ours(source, "_held") == {
            "_held/okapi/okapi_1.jpg": b"a picture",
            f"_held/okapi/{second.generation}/okapi_1.jpg": b"another 1",
        }

    def test_again_stays_where_it_is(self, source: Store) -> None:
        """Released, listed, and held once more, as the list of labels was changed between."""
        there = ["_held/Polar Bear/1.jpg", "_held/okapi/okapi_1.jpg"]
        for name, label in zip(there, ("polar_bear", "okapi"), strict=True):
            hold(source, bare(put(source, name, b"a picture")), label)
        assert list(ours(source, "_held")) == there

    def test_of_the_longest_name_and_label_fits(self, source: Store) -> None:
        name, label = "/".join(["n" * 200] * 4) + "/okapi_1.jpg", "ж" * 125
        hold(source, bare(put(source, name, b"a picture")), label)
        assert ours(source, "_held") == {f"_held/{label}/{hashlib.sha256(name.encode()).hexdigest()}": b"a picture"}

    def test_of_what_is_gone_has_no_copy(self, source: Store) -> None:
        blob = put(source, "okapi_1.jpg", b"a picture")
        source.delete_if_generation(blob.name, blob.generation)
        hold(source, bare(blob), "okapi")
        assert ours(source, "_held") == {}
