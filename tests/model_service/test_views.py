"""What the model sees of its pictures: decoded once up to a budget, anew beyond it, the same pixels always."""

from __future__ import annotations

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model_service import images
from model_service.errors import StepError
from model_service.shards import Sample
from model_service.training import views
from tests.model_service.buckets import CLASSES, square

SIDE = 32


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    jpegs = [images.pack(images.decode(square(CLASSES[n % 3], n), images.Limits())) for n in range(150)]
    return [Sample(f"{n:020x}", jpeg, {}) for n, jpeg in enumerate(jpegs)]


@pytest.mark.parametrize("decoded", [0, 1, 70, 150])
def test_the_pixels_are_the_same_whether_kept_decoded_or_not(
    samples: list[Sample], tmp_path: Path, decoded: int
) -> None:
    written = views.write(iter(samples), tmp_path, SIDE, decoded)
    assert (len(written), written.decoded) == (150, decoded)
    for sample, view in zip(samples, written, strict=True):
        assert np.array_equal(view, images.view(images.unpack(sample.jpeg, SIDE), SIDE))
        assert view.shape == (SIDE, SIDE, 3)
        assert view.dtype == np.uint8
    assert (tmp_path / views.DECODED).stat().st_size == decoded * SIDE * SIDE * 3
    assert (tmp_path / views.PACKED).stat().st_size == sum(len(sample.jpeg) for sample in samples[decoded:])


def test_it_is_opened_anew_in_another_process_and_read_by_threads(samples: list[Sample], tmp_path: Path) -> None:
    written = views.write(iter(samples), tmp_path, SIDE, 70)
    data = pickle.dumps(written)
    assert len(data) < 3000, "no pixels travel"
    again = pickle.loads(data)
    with ThreadPoolExecutor(4) as pool:
        ours, theirs = (list(pool.map(one.__getitem__, range(150))) for one in (written, again))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_there_is_no_picture_outside(samples: list[Sample], tmp_path: Path) -> None:
    written = views.write(iter(samples[:3]), tmp_path, SIDE, 2)
    for i in (3, -1):
        with pytest.raises(IndexError):
            written[i]


@pytest.mark.parametrize(("gigabytes", "decoded"), [(0.0, 0), (3072e-9 * 2.5, 2), (8.0, 10)])
def test_the_budget_says_how_many_are_kept_decoded(gigabytes: float, decoded: int) -> None:
    assert views.fits(10, SIDE, gigabytes) == decoded


def test_a_set_that_is_too_large_for_the_disk_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    views.check_room(tmp_path, SIDE, decoded=1000, packed=0, packed_bytes=0)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(
        StepError, match=r"does not fit on this machine's disk: 1000 decoded pictures \(0\.0 GB\) and 7 "
    ) as no:
        views.check_room(tmp_path, SIDE, decoded=1000, packed=7, packed_bytes=free)
    for way_out in ("--cache-gigabytes", "--max-pictures", "pods", "TMPDIR"):
        assert way_out in no.value.remedy
