"""sort killed by SIGKILL at its commits and at any moment between, once or several times: run again, the end is the same."""

from __future__ import annotations

import collections
import dataclasses
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_service.ledger import read_head
from tests.model_service.buckets import Buckets
from tests.model_service.forked import Child, Ended, Forks
from tests.model_service.proofs import check_exactly_once, manifests, many, picture, restore, snapshot

ARGUMENTS: dict[str, Any] = {"holdout": 0.5, "max_bad": 0.9, "allow": "cat, dog", "new_classes": "hold", "threads": 4}


@pytest.fixture
def buckets(stores: Buckets) -> Buckets:
    return stores


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
    """At a commit, which are all tried in a soak; or at any moment, and then perhaps at a commit once or twice again."""
    put_some_of_everything(buckets)
    before, drawn = snapshot(buckets), random.Random(4)
    results = tmp_path / "results"

    def sort(run: str, **kill: Any) -> Ended:
        step = dataclasses.replace(buckets.sort_step(run, **ARGUMENTS), result=f"file://{results}/{run}.json")
        return forks.run(Child(step.argv(), **kill))

    results.mkdir()
    whole = sort("r1")
    after = snapshot(buckets)
    assert whole.codes == sort("r2").codes == [0]
    expected = snapshot(buckets)
    assert expected == after, "the next run has nothing to do"
    check_exactly_once(buckets)
    fates = collections.Counter(row["reason"] or row["status"] for row in manifests(buckets))
    assert fates == {"packed": 9, "duplicate": 2, "conflicting-label": 3, "held": 1, "not-an-image": 1}
    assert [batch.run for batch in read_head(buckets.models).batches] == ["r0", "r1"]

    def killed(*kills: dict[str, Any]) -> tuple[int, float]:
        """How many of the kills struck, after all of which the end was the same, and the seconds that the rest took."""
        restore(buckets, before)
        shutil.rmtree(results)
        results.mkdir()
        codes = [code for kill in kills for code in sort("r1", **kill).codes]
        assert set(codes) <= {-9, 0}
        rest = sort("r1")
        assert rest.codes == sort("r2").codes == [0], kills
        assert snapshot(buckets) == expected, kills
        return codes.count(-9), rest.seconds

    (points,) = whole.points
    stretches = min(many(3, points), points)
    for n in range(stretches):
        point = drawn.randint(n * points // stretches + 1, (n + 1) * points // stretches)
        assert killed({"point": point})[0] == 1
    moments = cases = again = 0
    seconds = whole.seconds
    while moments < many(3, 100) and cases < many(9, 300):
        more = [{"point": drawn.randint(1, points)} for _ in range(drawn.randint(0, 2))]
        struck, rest = killed({"delay": drawn.uniform(0.001, seconds)}, *more)
        seconds = rest if struck else 0.9 * seconds  # the machine is not always as fast
        cases, moments, again = cases + 1, moments + (struck > 0), again + max(struck - 1, 0)
    assert moments >= many(3, 100) / 2
    print(f"killed at {stretches} of {points} points, {moments} times at any moment and {again} times again")


def test_so_it_is_when_processes_read_its_pictures(buckets: Buckets, forks: Forks, tmp_path: Path) -> None:
    """What they do when the step is killed, some of them a little later than that, is done again."""
    for n in range(30):
        buckets.put(f"{('cat', 'dog')[n % 2]}_{n}.jpg", picture(n))
        buckets.put(f"cat_{n}_1.jpg", b"text")
    before, drawn = snapshot(buckets), random.Random(5)

    def sort(delay: float = 0.0) -> Ended:
        step = dataclasses.replace(buckets.sort_step("r1", **ARGUMENTS), result=f"file://{tmp_path}/r1.json")
        return forks.run(Child(step.argv(), delay=delay, processes=2))

    whole = sort()
    assert whole.codes == [0]
    expected = snapshot(buckets)
    check_exactly_once(buckets)
    kills = 0
    for _ in range(many(2, 40)):
        restore(buckets, before)
        (tmp_path / "r1.json").unlink(missing_ok=True)
        kills += sort(drawn.uniform(0.2, 1.0) * whole.seconds).codes == [-9]
        assert sort().codes == [0]
        assert snapshot(buckets) == expected
    print(f"killed {kills} times while processes read")
