"""The drawn sample pictures: the same each time, of every kind, and broken where they are meant to be."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, UnidentifiedImageError

from demo.pictures import KINDS, draw, write_batch

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_batch(tmp_path_factory.mktemp("batch"), per_kind=2, seed=7)


def broken(batch: list[Path]) -> list[Path]:
    return batch[2 * len(KINDS) :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_depends_on_its_kind_and_seed_alone(kind: str) -> None:
    first = draw(kind, 3)
    draw("cat", 99)
    assert draw(kind, 3).tobytes() == first.tobytes()
    assert draw(kind, 4).tobytes() != first.tobytes()
    assert first.mode == "RGB"


def test_kinds_with_one_seed_differ() -> None:
    assert len({draw(kind, 5, (96, 96)).tobytes() for kind in KINDS}) == len(KINDS)


def test_sizes_vary_within_their_bounds() -> None:
    sizes = [draw(KINDS[seed % 6], seed).size for seed in range(24)]
    assert all(200 <= max(size) <= 420 for size in sizes)
    assert any(w > h for w, h in sizes)
    assert any(w < h for w, h in sizes)
    assert len(set(sizes)) > 12


@pytest.mark.parametrize("size", [(16, 16), (97, 33), (64, 300)])
def test_a_given_size_is_kept(size: tuple[int, int]) -> None:
    assert all(draw(kind, 1, size).size == size for kind in KINDS)


def test_an_unknown_kind_or_an_absurd_size_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind 'cow'"):
        draw("cow", 1)
    with pytest.raises(ValueError, match="sides must be"):
        draw("cat", 1, (0, 20))


def test_a_batch_is_labelled_by_name_and_holds_what_draw_draws(batch: list[Path]) -> None:
    good = batch[: 2 * len(KINDS)]
    assert sorted(p.name for p in good) == sorted(f"{kind}_{n}.jpg" for kind in KINDS for n in (700001, 700002))
    for path in good:
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "JPEG"
            assert picture.size == draw(path.name.split("_")[0], int(path.stem.split("_")[1])).size


def test_the_same_seed_writes_the_same_files_and_another_seed_other_names(tmp_path: Path, batch: list[Path]) -> None:
    again = write_batch(tmp_path / "again", per_kind=1, seed=7)
    contents = {path.name: path.read_bytes() for path in batch}
    assert all(contents[path.name] == path.read_bytes() for path in again)
    other = write_batch(tmp_path / "other", per_kind=1, seed=8)
    assert not contents.keys() & {path.name for path in other}


def test_without_broken_files_there_are_only_pictures_of_the_kinds_asked_for(tmp_path: Path) -> None:
    paths = write_batch(tmp_path, per_kind=1, seed=0, broken=False, kinds=("dog", "panda"))
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [path.name for path in paths] == ["dog_1.jpg", "panda_1.jpg"]


@pytest.mark.parametrize(("per_kind", "seed"), [(1, -1), (-1, 0), (100_000, 0)])
def test_numbers_that_would_let_names_collide_are_refused(tmp_path: Path, per_kind: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must"):
        write_batch(tmp_path, per_kind=per_kind, seed=seed)


def test_text_and_empty_files_are_no_pictures(batch: list[Path]) -> None:
    text, empty, *_ = broken(batch)
    assert empty.stat().st_size == 0 < text.stat().st_size
    for path in (text, empty):
        assert path.suffix == ".jpg"
        with pytest.raises(UnidentifiedImageError):
            Image.open(path)


def test_the_truncated_picture_opens_but_does_not_load(batch: list[Path]) -> None:
    with Image.open(broken(batch)[2]) as picture, pytest.raises(OSError, match="truncated"):
        picture.load()


def test_the_bomb_is_refused_by_its_size(batch: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)  # Pillow's own; model_service has a limit of its own
    bomb = broken(batch)[3]
    assert 100_000 <= bomb.stat().st_size <= 900_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(bomb)


def test_the_bomb_is_a_valid_png_of_its_declared_size(batch: list[Path]) -> None:
    data = broken(batch)[3].read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, names, packed = 8, [], b""
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(name + body),)
        names.append(name)
        if name == b"IHDR":
            assert struct.unpack(">IIBBBBB", body) == (30_000, 30_000, 1, 0, 0, 0, 0)
        packed += body if name == b"IDAT" else b""
        at += 12 + length
    assert names[0] == b"IHDR"
    assert names[-1] == b"IEND"
    stream = zlib.decompressobj()
    total, rest = 0, packed
    while rest and not stream.eof:
        total += len(stream.decompress(rest, 1 << 22))
        rest = stream.unconsumed_tail
    assert stream.eof
    assert total == 30_000 * (1 + 30_000 // 8)


def test_a_good_picture_without_a_label_and_a_file_of_an_unknown_sort(batch: list[Path]) -> None:
    nameless, unknown = broken(batch)[4:]
    assert nameless.name == "799905.jpg"
    with Image.open(nameless) as picture:
        picture.load()
    assert unknown.suffix == ".xyz"
    assert unknown.read_text().strip()


def test_the_command_writes_a_batch_and_a_contact_sheet(tmp_path: Path) -> None:
    sheet, folder = tmp_path / "sheet.png", tmp_path / "new"
    words = ["-m", "demo.pictures", str(folder), "--per-kind", "1", "--seed", "2", "--no-broken", "--sheet", str(sheet)]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == f"6 files written to {folder}\n"
    assert len(list(folder.iterdir())) == 6
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
