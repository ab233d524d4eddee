"""sort killed by SIGKILL at its commits and at any moment between, once or several times: run again, the end is the same."""

from __future__ import annotations

import collections
import dataclasses
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_service.ledger import read_head
from tests.model_service.buckets import NAMES, Buckets, make_buckets
from tests.model_service.cloud import Cloud
from tests.model_service.forked import Child, Forks
from tests.model_service.proofs import check_exactly_once, manifests, many, picture, restore, snapshot

Kill = dict[str, Any]  # Child's point or delay


@pytest.fixture(scope="module")
def forks(_cloud: Cloud) -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(params=["folders", "gcs"])
def buckets(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud) -> Buckets:
    if request.param == "folders":
        return make_buckets(tmp_path)
    return Buckets(tmp_path, tuple(cloud.take() for _ in NAMES))


def put_some_of_everything(buckets: Buckets) -> None:
    """On top of a batch that is there already: usable, again, contested (also with that batch), held, bad."""
    for n in range(3):
        buckets.put(f"cat_{n}.jpg", picture(f"cat {n}"))
    buckets.sorted("r0", holdout=0.5)
    for n in (3, 4, 5):
        buckets.put(f"cat_{n}.jpg", picture(f"cat {n}"))
        buckets.put(f"dog_{n}.jpg", picture(f"dog {n}"))
    buckets.put("cat_6.jpg", picture("dog 4", quality=80))  # looks like it
    buckets.put("again/dog_3.jpg", picture("dog 3"))
    buckets.put("again/cat_1.jpg", picture("cat 1"))
    buckets.put("dog_7.jpg", picture("cat 3"))
    buckets.put("dog_8.jpg", picture("cat 0"))
    buckets.put("lynx_1.jpg", picture("lynx"))
    buckets.put("dog_9.jpg", b"text")


def test_killed_anywhere_and_run_again_everything_is_as_if_it_had_not_been(
    buckets: Buckets, forks: Forks, tmp_path: Path
) -> None:
    put_some_of_everything(buckets)
    before = snapshot(buckets)
    results = tmp_path / "results"

    def sort(run: str, **kill: Any) -> tuple[int, int, float]:
        arguments = {"holdout": 0.5, "max_bad": 0.9, "allow": "cat, dog", "new_classes": "hold", "threads": 4}
        step = dataclasses.replace(buckets.sort_step(run, **arguments), result=f"file://{results}/{run}.json")
        ended = forks.run(Child(step.argv(), **kill))
        return ended.codes[0], ended.points[0], ended.seconds

    results.mkdir()
    code, points, seconds = sort("r1")
    after = snapshot(buckets)
    assert (code, sort("r2")[0]) == (0, 0)
    expected = snapshot(buckets)
    assert expected == after, "the next run has nothing to do"
    check_exactly_once(buckets)
    fates = collections.Counter(row["reason"] or row["status"] for row in manifests(buckets))
    assert fates == {"packed": 9, "duplicate": 2, "conflicting-label": 3, "held": 1, "not-an-image": 1}
    assert [batch.run for batch in read_head(buckets.models).batches] == ["r0", "r1"]

    struck: collections.Counter[str] = collections.Counter()
    for kills in _plans(points, seconds):
        restore(buckets, before)
        shutil.rmtree(results)
        results.mkdir()
        codes = [sort("r1", **kill)[0] for kill in kills]
        assert set(codes) <= {-9, 0}
        assert codes == [-9] or "point" not in kills[0] or len(kills) > 1, f"{kills} did not strike"
        assert (sort("r1")[0], sort("r2")[0]) == (0, 0), kills
        assert snapshot(buckets) == expected, kills
        struck["cases"] += 1
        struck["killed"] += codes.count(-9)
    assert struck["killed"] >= struck["cases"] / 2
    print(f"{struck['killed']} kills in {struck['cases']} cases, of a sort with {points} points")


def _plans(points: int, seconds: float) -> Iterator[list[Kill]]:
    """Where each case is killed: at a point, all of which have their turn in the whole; or up to three times anywhere."""
    drawn = random.Random(4)
    for stretch in range(number := min(many(5, points), points)):
        yield [{"point": drawn.randint(stretch * points // number + 1, (stretch + 1) * points // number)}]
    for _ in range(many(4, 100)):
        anywhere = {"delay": drawn.uniform(0.001, 1.1 * seconds)}
        more = [{"point": drawn.randint(1, points)} for _ in range(drawn.randint(0, 2))]
        yield [anywhere, *more]
