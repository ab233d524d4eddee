"""What every store promises, as one specification run on each of them; then what only a folder has to promise."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from model_service.storage import (
    BucketMissing,
    Conflict,
    Exists,
    NotFound,
    Store,
    StoreError,
    files,
    locate,
    name_in,
    open_store,
)

REPOSITORY = Path(__file__).parents[2]
THREADS = 16

# "-" and "." sort before "/", "0" after it: an order by folders differs from the order of the names.
TRICKY = [
    "a-b",
    "a.b",
    "a/b-/c",
    "a/b.jpg",
    "a/b/c",
    "a/b0",
    "a0",
    "aa/a",
    "b",
    "b.",
    "Z",
    "é",
    "é/ü",
    "~",
    "日本",
    "🐈",
    "🐈/🐕",
]
ORDERED = sorted(set(TRICKY) - {"é", "🐈"}, key=lambda name: name.encode())
ODD = [
    "two words.jpg",
    " leading and trailing ",
    "#hash?query=1&b",
    "100%",
    "100%25",
    "tab\tand\\backslash",
    ".hidden",
    "..almost",
    "'quoted' \"twice\"",
    "*[glob]{}$HOME;",
    "-option",
    "e\u0301 decomposed",
    "ÄÖÜ/…/Кот/🐈‍⬛.jpg",
    "n" * 200,
]


@pytest.fixture(params=["folder", "gcs"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Makes empty stores of one kind."""
    if request.param == "gcs":
        cloud = request.getfixturevalue("cloud")
        return lambda: open_store(cloud.take())

    def folder() -> Store:
        root = tmp_path / uuid.uuid4().hex
        root.mkdir()
        return open_store(f"file://{root}")

    return folder


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    return new_store()


@pytest.fixture
def missing(store: Store) -> Store:
    """A store of the same kind whose bucket is not there."""
    return open_store(f"{store.uri}-{uuid.uuid4().hex}")


def names(store: Store, prefix: str = "", after: str = "", until: str = "") -> list[str]:
    return [blob.name for blob in store.list(prefix, after, until)]


def at_once(work: Callable[[int], object]) -> list[object]:
    """What `work` returns or raises (StoreError only) in each of 16 threads that start together."""
    barrier = Barrier(THREADS)

    def one(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except StoreError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


class TestListing:
    def test_is_empty_at_first(self, store: Store) -> None:
        assert names(store) == []

    def test_is_in_the_byte_order_of_the_full_names(self, store: Store) -> None:
        for name in reversed(ORDERED):
            store.write_if_absent(name, b"")
        assert names(store) == ORDERED

    def test_resumes_after_each_name_and_between_names(self, store: Store) -> None:
        for name in ORDERED:
            store.write_if_absent(name, b"")
        for after in [*ORDERED, "a", "a/", "a/b", "a/b/", "a/c", "aa", "c", "é", "\U0010ffff"]:
            assert names(store, after=after) == [name for name in ORDERED if name.encode() > after.encode()], after

    def test_narrows_by_prefix_and_position_together(self, store: Store) -> None:
        for name in ORDERED:
            store.write_if_absent(name, b"")
        for prefix in [*ORDERED, "a", "a/", "a/b", "a/b/", "a/b/c/", "a//", "../", "none", "none/of/these", "/", "🐈/"]:
            for after in ["", "a-b", "a/b/c", "a0", "é"]:
                expected = [n for n in ORDERED if n.startswith(prefix) and n.encode() > after.encode()]
                assert names(store, prefix, after) == expected, (prefix, after)

    def test_ends_before_each_name_and_between_names(self, store: Store) -> None:
        for name in ORDERED:
            store.write_if_absent(name, b"")
        for until in [*ORDERED, "a", "a/", "a/b", "a/b/", "a/c", "aa", "c", "é", "\U0010ffff"]:
            for prefix, after in [("", ""), ("a/", ""), ("", "a/b.jpg"), ("a", "a/b/c")]:
                expected = [
                    name
                    for name in ORDERED
                    if name.startswith(prefix) and after.encode() < name.encode() < until.encode()
                ]
                assert names(store, prefix, after, until) == expected, (prefix, after, until)

    def test_is_split_at_any_name_into_the_same_objects(self, store: Store) -> None:
        for name in ORDERED:
            store.write_if_absent(name, b"")
        for cut in ORDERED:
            assert [*names(store, until=cut), cut, *names(store, after=cut)] == ORDERED

    def test_tells_size_and_generation(self, store: Store) -> None:
        written = store.write_if_absent("folder/name", b"12345")
        assert written.size == 5
        assert list(store.list()) == [written]
        assert store.stat("folder/name") == written

    def test_tells_the_checksum_wherever_the_storage_keeps_one(self, store: Store, tmp_path: Path) -> None:
        """https://cloud.google.com/storage/docs/data-validation: CRC-32C, in base64 of its four bytes, highest first."""
        expected = "4waSgw==" if store.uri.startswith("gs:") else ""  # of "123456789": 0xE3069283
        written = store.write_if_absent("x", b"123456789")
        assert written.crc32c == expected
        assert store.copy_if_absent(store, "x", written.generation, "y").crc32c == expected
        assert [blob.crc32c for blob in store.list()] == [expected] * 2
        assert store.stat("x").crc32c == store.download("x", tmp_path / "x").crc32c == expected
        (tmp_path / "file").write_bytes(b"123456789")
        assert store.compare_and_swap("x", tmp_path / "file", written.generation).crc32c == expected

    @pytest.mark.parametrize("name", ODD)
    def test_takes_names_as_plain_text(self, store: Store, name: str) -> None:
        written = store.write_if_absent(name, name.encode())
        assert list(store.list()) == [written]
        assert list(store.list(prefix=name)) == [written]
        assert store.read(name) == name.encode()
        other, found = locate(f"{store.uri}/{name}")
        assert other.read(found) == name.encode()
        assert name_in(store, f"{store.uri}/{name}") == name

    def test_is_a_stream(self, store: Store) -> None:
        for number in range(3):
            store.write_if_absent(f"{number}/x", b"")
        listing = iter(store.list())
        assert next(listing).name == "0/x"
        store.delete_if_generation("2/x", store.stat("2/x").generation)
        assert next(listing).name == "1/x"


class TestReading:
    def test_gives_the_bytes(self, store: Store) -> None:
        for name, content in {"empty": b"", "binary": bytes(range(256)), "lines": b"\r\n\n\0"}.items():
            store.write_if_absent(name, content)
            assert store.read(name) == content

    def test_gives_one_generation_or_nothing(self, store: Store) -> None:
        old = store.write_if_absent("x", b"old")
        assert store.read("x", old.generation) == b"old"
        new = store.compare_and_swap("x", b"new", old.generation)
        assert store.read("x", new.generation) == b"new"
        with pytest.raises(NotFound):
            store.read("x", old.generation)

    def test_gives_ranges(self, store: Store) -> None:
        store.write_if_absent("x", b"0123456789")
        assert store.read_range("x", 0, 3) == b"012"
        assert store.read_range("x", 4, 1) == b"4"
        assert store.read_range("x", 7, 100) == b"789"
        assert store.read_range("x", 10, 1) == b""
        assert store.read_range("x", 99, 1) == b""
        assert store.read_range("x", 3, 0) == b""

    def test_moves_large_files_without_holding_them(self, store: Store, tmp_path: Path) -> None:
        block = os.urandom(1 << 20)
        source, target = tmp_path / "source", tmp_path / "target"
        with source.open("wb") as file:
            for number in range(20):  # beyond the 8 MiB that Cloud Storage takes in one request
                file.write(block + bytes([number]))
        written = store.write_if_absent("large", source)
        assert written.size == source.stat().st_size
        assert store.download("large", target) == written
        assert target.read_bytes() == source.read_bytes()
        assert store.read_range("large", (1 << 20) + 1, 4) == block[:4]

    def test_of_what_is_not_there_is_not_found(self, store: Store, tmp_path: Path) -> None:
        store.write_if_absent("folder/x", b"")
        for name in ["none", "folder", "folder/none", "folder/x/none", "none/none"]:
            for operation, *arguments in [
                (store.stat,),
                (store.read,),
                (store.read_range, 0, 0),
                (store.read_range, 0, 1),
                (store.download, tmp_path / "download"),
            ]:
                with pytest.raises(NotFound, match=re.escape(name)):
                    operation(name, *arguments)


class TestWriteIfAbsent:
    def test_refuses_a_name_that_is_taken(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "second").write_bytes(b"second")
        first = store.write_if_absent("x", b"first")
        for data in [b"second", b"first", tmp_path / "second"]:
            with pytest.raises(Exists, match="x exists already"):
                store.write_if_absent("x", data)
        assert store.stat("x") == first
        assert store.read("x") == b"first"

    def test_has_one_winner_whose_content_is_whole(self, store: Store) -> None:
        contents = [bytes([number]) * 300_000 for number in range(THREADS)]
        results = at_once(lambda number: store.write_if_absent("new/folder/x", contents[number]))
        winners = [number for number, result in enumerate(results) if not isinstance(result, Exists)]
        assert len(winners) == 1
        assert store.stat("new/folder/x") == results[winners[0]]
        assert store.read("new/folder/x") == contents[winners[0]]
        assert names(store) == ["new/folder/x"]

    def test_of_many_names_in_one_new_folder_all_succeed(self, store: Store) -> None:
        results = at_once(lambda number: store.write_if_absent(f"new/deep/{number:02}/x", b""))
        assert list(store.list()) == results


class TestCompareAndSwap:
    def test_replaces_the_expected_generation(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "third").write_bytes(b"third")
        first = store.write_if_absent("x", b"first")
        second = store.compare_and_swap("x", b"second", first.generation)
        assert store.read("x") == b"second"
        third = store.compare_and_swap("x", tmp_path / "third", second.generation)
        assert store.read("x") == b"third"
        assert list(store.list()) == [third]

    def test_refuses_another_generation(self, store: Store) -> None:
        first = store.write_if_absent("x", b"first")
        second = store.compare_and_swap("x", b"second", first.generation)
        for generation in [first.generation, second.generation + 1, 0]:
            with pytest.raises(Conflict, match="x"):
                store.compare_and_swap("x", b"third", generation)
        assert store.stat("x") == second
        assert store.read("x") == b"second"

    def test_refuses_what_is_gone(self, store: Store) -> None:
        first = store.write_if_absent("x", b"first")
        store.delete_if_generation("x", first.generation)
        for name in ["x", "never/was"]:
            for generation in [first.generation, 0]:
                with pytest.raises(Conflict, match=name):
                    store.compare_and_swap(name, b"second", generation)
        assert names(store) == []

    def test_never_repeats_a_generation(self, store: Store) -> None:
        blob = store.write_if_absent("x", b"same")
        seen = {blob.generation}
        for _ in range(20):
            blob = store.compare_and_swap("x", b"same", blob.generation)
            seen.add(blob.generation)
        store.delete_if_generation("x", blob.generation)
        seen.add(store.write_if_absent("x", b"same").generation)
        assert len(seen) == 22
        assert all(0 < generation < 1 << 63 for generation in seen)

    def test_loses_no_increment_of_a_counter(self, store: Store) -> None:
        store.write_if_absent("counter", b"0")

        def increment(_: int) -> None:
            for _ in range(4):
                while True:
                    generation = store.stat("counter").generation
                    try:
                        value = int(store.read("counter", generation))
                        store.compare_and_swap("counter", str(value + 1).encode(), generation)
                        break
                    except (NotFound, Conflict):  # another thread was faster
                        continue

        assert at_once(increment) == [None] * THREADS
        assert store.read("counter") == str(THREADS * 4).encode()


class TestCopyIfAbsent:
    def test_copies_content_within_and_between_stores(self, new_store: Callable[[], Store]) -> None:
        source = new_store()
        original = source.write_if_absent("x", b"content")
        for target in [source, new_store()]:
            name = f"copies/of {uuid.uuid4()}"
            copy = target.copy_if_absent(source, "x", original.generation, name)
            assert (copy.name, copy.size) == (name, 7)
            assert target.stat(name) == copy
            assert target.read(name) == b"content"
        assert source.stat("x") == original

    def test_refuses_a_name_that_is_taken(self, store: Store) -> None:
        original = store.write_if_absent("x", b"content")
        there = store.write_if_absent("y", b"other")
        with pytest.raises(Exists, match="y exists already"):
            store.copy_if_absent(store, "x", original.generation, "y")
        assert store.stat("y") == there

    def test_refuses_a_source_that_changed_or_is_gone(self, store: Store) -> None:
        first = store.write_if_absent("x", b"first")
        second = store.compare_and_swap("x", b"second", first.generation)
        with pytest.raises(NotFound, match="x has generation"):
            store.copy_if_absent(store, "x", first.generation, "y")
        store.delete_if_generation("x", second.generation)
        with pytest.raises(NotFound, match="x does not exist"):
            store.copy_if_absent(store, "x", second.generation, "y")
        assert names(store) == []

    def test_has_one_winner(self, store: Store) -> None:
        original = store.write_if_absent("x", b"content" * 10_000)
        results = at_once(lambda _: store.copy_if_absent(store, "x", original.generation, "new/y"))
        assert sum(not isinstance(result, Exists) for result in results) == 1
        assert store.read("new/y") == b"content" * 10_000

    def test_refuses_another_kind_of_storage(self, store: Store, tmp_path: Path) -> None:
        other = open_store("gs://some-bucket" if store.uri.startswith("file:") else f"file://{tmp_path}")
        with pytest.raises(StoreError, match="different kinds of storage") as refusal:
            store.copy_if_absent(other, "x", 1, "y")
        assert "MENAGERIE_BUCKETS" in refusal.value.remedy


class TestDeleteIfGeneration:
    def test_deletes_the_expected_generation(self, store: Store) -> None:
        blob = store.write_if_absent("folder/x", b"")
        store.delete_if_generation("folder/x", blob.generation)
        assert names(store) == []
        with pytest.raises(NotFound):
            store.stat("folder/x")

    def test_refuses_another_generation(self, store: Store) -> None:
        first = store.write_if_absent("x", b"first")
        second = store.compare_and_swap("x", b"second", first.generation)
        with pytest.raises(Conflict, match="x has generation"):
            store.delete_if_generation("x", first.generation)
        assert list(store.list()) == [second]

    def test_of_what_is_gone_is_done_already(self, store: Store) -> None:
        blob = store.write_if_absent("x", b"")
        for name in ["x", "x", "never", "never/was"]:
            store.delete_if_generation(name, blob.generation)

    def test_and_a_swap_never_both_succeed(self, store: Store) -> None:
        for _ in range(5):
            blob = store.write_if_absent("x", b"")

            def change(number: int, generation: int = blob.generation) -> str:
                if number % 2:
                    store.delete_if_generation("x", generation)
                    return "deleted"
                store.compare_and_swap("x", str(number).encode(), generation)
                return "swapped"

            results = at_once(change)
            swapped = results.count("swapped")
            assert swapped <= 1
            assert names(store) == ["x"] * swapped
            for left in store.list():
                store.delete_if_generation("x", left.generation)


def test_a_bucket_that_is_there_passes_its_check(store: Store) -> None:
    store.check()


def test_every_operation_says_that_the_bucket_is_missing(store: Store, missing: Store, tmp_path: Path) -> None:
    there = store.write_if_absent("x", b"")
    for operation in [
        missing.check,
        lambda: list(missing.list()),
        lambda: list(missing.list("some/prefix")),
        lambda: missing.stat("x"),
        lambda: missing.read("x"),
        lambda: missing.read_range("x", 0, 1),
        lambda: missing.download("x", tmp_path / "download"),
        lambda: missing.write_if_absent("x", b""),
        lambda: missing.write_if_absent("folder/x", b""),
        lambda: missing.compare_and_swap("x", b"", 1),
        lambda: missing.delete_if_generation("x", 1),
        lambda: missing.copy_if_absent(store, "x", there.generation, "y"),
        lambda: store.copy_if_absent(missing, "x", 1, "y"),
    ]:
        with pytest.raises(BucketMissing, match=re.escape(missing.uri)) as error:
            operation()
        assert "Create the" in error.value.remedy
        assert "MENAGERIE_BUCKETS" in error.value.remedy


class TestUris:
    @pytest.mark.parametrize(
        "uri",
        ["", "bucket", "/a/path", "file:relative", "file://relative/x", "s3://b", "gs://", "gs:///x", "gs://b/prefix"],
    )
    def test_that_are_no_bucket_are_refused(self, uri: str) -> None:
        with pytest.raises(StoreError, match="is not a bucket") as refusal:
            open_store(uri)
        assert "MENAGERIE_BUCKETS" in refusal.value.remedy

    @pytest.mark.parametrize("uri", ["", "gs://", "gs://b", "gs://b/", "file://host/x", "file:///", "/x", "http://b/x"])
    def test_that_are_no_object_are_refused(self, uri: str) -> None:
        with pytest.raises(StoreError, match="is not an object"):
            locate(uri)

    def test_have_no_trailing_slash_as_stores(self) -> None:
        assert open_store("file:///some/folder/").uri == "file:///some/folder"
        assert open_store("gs://bucket/").uri == "gs://bucket"

    def test_of_objects_name_a_store_and_a_name(self) -> None:
        for uri, bucket, name in [
            ("gs://bucket/a b/#1?%20", "gs://bucket", "a b/#1?%20"),
            ("file:///folder/a b/#1?%20", "file://", "folder/a b/#1?%20"),
        ]:
            store, found = locate(uri)
            assert (store.uri, found) == (bucket, name)
            assert name_in(store, uri) == name

    def test_of_objects_elsewhere_have_no_name_in_a_store(self) -> None:
        store = open_store("file:///some/folder")
        assert name_in(store, "file:///some/folder/x/y") == "x/y"
        for uri in ["file:///some/folder", "file:///some/folder/", "file:///some/folder-2/x", "gs://folder/x", "x"]:
            with pytest.raises(StoreError, match="is not in file:///some/folder"):
                name_in(store, uri)


class TestFolder:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "root"
        root.mkdir()
        return root

    @pytest.fixture
    def folder(self, root: Path) -> Store:
        return open_store(f"file://{root}")

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "/x",
            "x/",
            "a//b",
            ".",
            "..",
            "../x",
            "a/../../x",
            "./x",
            "a/.",
            "nul\0",
            "é" * 128,
            ".~menagerie-x",
            "\ud83d",
        ],
        ids=ascii,
    )
    def test_refuses_names_that_it_cannot_hold(self, folder: Store, root: Path, name: str) -> None:
        (root.parent / "x").write_bytes(b"outside")
        ours = folder.write_if_absent("ours", b"")
        for operation in [
            lambda: folder.stat(name),
            lambda: folder.read(name),
            lambda: folder.write_if_absent(name, b""),
            lambda: folder.compare_and_swap(name, b"", 1),
            lambda: folder.copy_if_absent(folder, "ours", ours.generation, name),
            lambda: folder.copy_if_absent(folder, name, 1, "copy"),
            lambda: folder.delete_if_generation(name, 1),
        ]:
            with pytest.raises(StoreError, match=r"cannot be a file|is not UTF-8") as refusal:
                operation()
            assert not isinstance(refusal.value, NotFound | Exists | Conflict)
            assert refusal.value.remedy
        assert sorted(path.name for path in root.parent.rglob("*")) == ["ours", "root", "x"]

    def test_refuses_a_name_below_a_file_or_of_a_folder(self, folder: Store) -> None:
        folder.write_if_absent("a/b", b"")
        with pytest.raises(StoreError, match="needs a folder where there is a file"):
            folder.write_if_absent("a/b/c", b"")
        with pytest.raises(StoreError, match="is a folder or a link"):
            folder.write_if_absent("a", b"")

    def test_takes_line_ends_in_names(self, folder: Store) -> None:
        written = folder.write_if_absent("new\nline\r", b"1")
        assert list(folder.list()) == [written]
        assert folder.read("new\nline\r") == b"1"

    def test_lists_what_others_put_there(self, folder: Store, root: Path) -> None:
        (root / "cats").mkdir()
        (root / "cats" / "tom.jpg").write_bytes(b"meow")
        (blob,) = folder.list()
        assert (blob.name, blob.size) == ("cats/tom.jpg", 4)
        assert folder.read(blob.name, blob.generation) == b"meow"
        (root / "cats" / "tom.jpg").write_bytes(b"purr purr")
        with pytest.raises(NotFound):
            folder.read(blob.name, blob.generation)

    def test_lists_and_reads_names_that_are_not_utf8(self, folder: Store, root: Path) -> None:
        with open(os.fsencode(root) + b"/caf\xe9.jpg", "wb") as file:
            file.write(b"latin")
        folder.write_if_absent("café.jpg", b"utf-8")
        assert [folder.read(name) for name in names(folder)] == [b"utf-8", b"latin"]
        assert len(names(folder, after="café.jpg")) == 1

    def test_skips_links_pipes_and_folders_without_files(self, folder: Store, root: Path) -> None:
        outside = root.parent / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        (root / "link-to-folder").symlink_to(outside)
        (root / "link-to-file").symlink_to(outside / "secret")
        (root / "loop").symlink_to("loop")
        (root / "dangling").symlink_to("nothing")
        (root / "empty").mkdir()
        os.mkfifo(root / "pipe")
        assert names(folder) == []
        for name in ["link-to-file", "loop", "dangling", "empty", "pipe"]:
            with pytest.raises(NotFound):
                folder.read(name)
            with pytest.raises(StoreError, match=r"exists already|is a folder or a link"):
                folder.write_if_absent(name, b"")
        with pytest.raises(StoreError, match="outside of the root"):
            folder.read("link-to-folder/secret")
        with pytest.raises(StoreError, match="outside of the root"):
            folder.write_if_absent("link-to-folder/x", b"")
        assert names(folder, "link-to-folder/") == []
        assert [path.name for path in outside.iterdir()] == ["secret"]

    def test_may_be_reached_through_a_link(self, root: Path) -> None:
        (root.parent / "link").symlink_to(root)
        linked = open_store(f"file://{root.parent}/link")
        linked.write_if_absent("a/x", b"content")
        assert (root / "a" / "x").read_bytes() == b"content"
        other, name = locate(f"{linked.uri}/a/x")
        assert other.read(name) == b"content"
        assert names(linked, "a/") == ["a/x"]

    def test_never_lists_temporary_files(self, folder: Store, root: Path) -> None:
        (root / "a").mkdir()
        (root / "a" / ".~menagerie-0123456789abcdef").write_bytes(b"half")
        (root / ".~menagerie-0123456789abcdef").write_bytes(b"half")
        assert names(folder) == names(folder, "a/") == names(folder, ".~") == []

    def test_leaves_no_temporary_files_behind(self, folder: Store, root: Path) -> None:
        blob = folder.write_if_absent("x", b"")
        with pytest.raises(Exists):
            folder.write_if_absent("x", b"")
        with pytest.raises(Conflict):
            folder.compare_and_swap("x", b"", blob.generation + 1)
        with pytest.raises(NotFound):
            folder.copy_if_absent(folder, "none", 1, "y")
        folder.compare_and_swap("x", b"", blob.generation)
        assert [path.name for path in root.iterdir()] == ["x"]

    def test_skips_what_vanishes_while_it_lists(self, folder: Store, root: Path) -> None:
        for name in ["a", "b", "c/x", "d"]:
            folder.write_if_absent(name, b"")
        listing = iter(folder.list())
        assert next(listing).name == "a"
        (root / "b").unlink()
        (root / "c" / "x").unlink()
        (root / "c").rmdir()
        assert [blob.name for blob in listing] == ["d"]

    def test_does_not_look_into_folders_that_cannot_match(self, folder: Store) -> None:
        for name in ["2024/x", "2025/x", "2026/x"]:
            folder.write_if_absent(name, b"")
        heard: list[str] = []
        listening = True

        def hear(event: str, arguments: tuple[object, ...]) -> None:
            if listening and event == "os.scandir":
                heard.append(str(arguments[0]))

        sys.addaudithook(hear)  # for the life of the process: it cannot be taken back
        assert names(folder, after="2025/x") == ["2026/x"]
        assert names(folder, prefix="2026/") == ["2026/x"]
        assert names(folder, after="2025/x", until="2027") == ["2026/x"]
        heard.append("until")
        assert names(folder, until="2025/x") == ["2024/x"]
        listening = False
        heard, until = heard[: heard.index("until")], heard[heard.index("until") :]
        assert not any("2026" in path for path in until)
        assert any("2026" in path for path in heard)
        assert not any("2024" in path for path in heard)

    @pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed", "named"])
    @pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
    def test_shows_nothing_of_a_writer_killed_half_way(
        self, folder: Store, root: Path, replacing: bool, unnamed: bool
    ) -> None:
        before = [folder.write_if_absent("deep/x", b"before")] if replacing else []
        pipe = root.parent / "pipe"  # the data of the write: it never ends
        os.mkfifo(pipe)
        call = (
            f"compare_and_swap('deep/x', data, {before[0].generation})" if before else "write_if_absent('deep/x', data)"
        )
        program = f"""
            from pathlib import Path
            from model_service.storage import files, open_store
            if not {unnamed}:  # as where the system or the filesystem knows no files without a name
                files._unnamed = lambda folder: None
            data = Path({str(pipe)!r})
            open_store({folder.uri!r}).{call}
        """
        writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY)
        with pipe.open("wb", buffering=0) as data:
            for _ in range(200):  # more than a pipe holds: the rest has been read
                data.write(b"half of it" * 1000)
            assert list(folder.list()) == before
            writer.send_signal(signal.SIGKILL)
            assert writer.wait() == -signal.SIGKILL
        left = [path.name for path in root.rglob("*") if path.is_file()]
        if unnamed:
            assert left == ["x"] * replacing
        else:
            assert any(name.startswith(".~menagerie-") for name in left), "it was killed half-way"
        assert list(folder.list()) == before
        if before:
            folder.compare_and_swap("deep/x", b"after", before[0].generation)
        else:
            folder.write_if_absent("deep/x", b"after")
        assert folder.read("deep/x") == b"after"

    def test_sweeps_up_what_a_swap_left_that_was_killed_between_its_two_names(self, folder: Store, root: Path) -> None:
        blob = folder.write_if_absent("x", b"before")
        (root / ".~menagerie-swap").write_bytes(b"left")
        assert names(folder) == ["x"]
        folder.compare_and_swap("x", b"after", blob.generation)
        assert [path.name for path in root.iterdir()] == ["x"]
        assert folder.read("x") == b"after"

    def test_works_where_files_must_have_names(
        self, folder: Store, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_unnamed", lambda folder: None)
        blob = folder.write_if_absent("x", b"first")
        with pytest.raises(Exists):
            folder.write_if_absent("x", b"second")
        swapped = folder.compare_and_swap("x", b"second", blob.generation)
        folder.copy_if_absent(folder, "x", swapped.generation, "y")
        with pytest.raises(NotFound):
            folder.copy_if_absent(folder, "x", blob.generation, "z")
        assert folder.read("y") == b"second"
        assert sorted(path.name for path in root.iterdir()) == ["x", "y"]

    def test_is_unlocked_by_the_death_of_who_holds_the_lock(self, folder: Store, root: Path) -> None:
        blob = folder.write_if_absent("x", b"before")
        program = f"""
            import fcntl, os, time
            fcntl.flock(os.open({str(root)!r}, os.O_RDONLY), fcntl.LOCK_EX)
            print("locked", flush=True)
            time.sleep(60)
        """
        command = [sys.executable, "-c", textwrap.dedent(program)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder, ThreadPoolExecutor(1) as pool:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"locked\n"
            swap = pool.submit(folder.compare_and_swap, "x", b"after", blob.generation)
            time.sleep(0.1)
            assert not swap.done()
            holder.kill()
            assert swap.result(timeout=5).size == 5

    @pytest.mark.parametrize(
        ("closed", "call", "kind"),
        [
            ("", "store.check()", "BucketMissing"),
            ("", "store.stat('sub/x')", "BucketMissing"),
            ("sub", "store.check()", "None"),
            ("sub", "list(store.list())", "StoreError"),
            ("sub", "store.stat('sub/x')", "StoreError"),
            ("sub", "store.write_if_absent('sub/y', b'')", "StoreError"),
            ("sub/x", "store.read('sub/x')", "StoreError"),
        ],
    )
    def test_that_may_not_be_read_says_who_needs_access_to_what(
        self, folder: Store, root: Path, closed: str, call: str, kind: str
    ) -> None:
        folder.write_if_absent("sub/x", b"")
        if os.geteuid() == 0:  # who may read everything, so the child becomes somebody else, and has to get here
            for path in root.parents:
                if not path.stat().st_mode & 0o001:
                    path.chmod(0o711)
        (root / closed).chmod(0o000)
        program = f"""
            import os
            from model_service.storage import StoreError, open_store
            store = open_store({folder.uri!r})
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            try:
                print({call})
            except StoreError as error:
                print(type(error).__name__, error, error.remedy, f"user {{os.geteuid()}}", sep="\\n")
        """
        command = [sys.executable, "-c", textwrap.dedent(program)]
        answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        (root / closed).chmod(0o755)
        said, *rest = answer.stdout.splitlines()
        assert said == kind, answer.stderr
        if rest:
            message, remedy, user = rest
            assert str(root / closed) in message
            assert message.endswith(user)
            assert f"Give that user access to {root / closed}" in remedy
