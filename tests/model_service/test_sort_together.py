"""Several sorts of the same source at the same moment: every picture lands once, and nothing is left over."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import batches
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.plan import plan
from model_service.sort import sort
from model_service.storage import StoreError
from tests.model_service.buckets import Buckets
from tests.model_service.forked import Child, Forks
from tests.model_service.proofs import check_exactly_once, do_before, many, packed, picture, restore, snapshot

ROUNDS = many(1, 20)
ARGUMENTS: dict[str, Any] = {"threads": 4, "shard_megabytes": 0.01, "max_bad": 0.5}


@pytest.fixture
def buckets(stores: Buckets) -> Buckets:
    return stores


def put_pictures(buckets: Buckets) -> set[str]:
    """Of all kinds; the sha256 of the contents that have to be packed."""
    good = {f"{label}_{n}.jpg": picture(f"{label} {n}") for label in ("cat", "dog") for n in range(5)}
    for name, data in good.items():
        buckets.put(name, data)
    for n in range(3):
        buckets.put(f"again/cat_{n}.jpg", good[f"cat_{n}.jpg"])
        buckets.put(f"looks_like/dog_{n}.jpg", picture(f"dog {n}", quality=80))
    buckets.put("dog_100.jpg", picture("contested"))
    buckets.put("cat_100.jpg", picture("contested"))
    buckets.put("cat_101.jpg", b"text")
    looking_like = [picture(f"dog {n}", quality=80) for n in range(3)]
    return {hashlib.sha256(data).hexdigest() for data in (*good.values(), *looking_like)}


def contents(buckets: Buckets) -> set[str]:
    return {row["sha256"] for row in packed(buckets)}


def steps(buckets: Buckets, *runs: str) -> list[Child]:
    return [Child(buckets.sort_step(run, **ARGUMENTS).argv()) for run in runs]


def check_all_is_sorted(buckets: Buckets) -> None:
    """Another sort finds nothing new, and changes nothing."""
    before = snapshot(buckets)
    assert buckets.sorted("later", **ARGUMENTS)["new"] == 0
    assert snapshot(buckets) == before


def test_four_sorts_of_other_names(buckets: Buckets, forks: Forks, told: collections.Counter[str]) -> None:
    expected = put_pictures(buckets)
    before = snapshot(buckets)
    for _ in range(max(2, ROUNDS)):
        restore(buckets, before)
        ended = forks.run(*steps(buckets, "r1", "r2", "r3", "r4"))
        assert ended.codes == [0] * 4
        assert contents(buckets) == expected
        check_exactly_once(buckets)
        check_all_is_sorted(buckets)
        told["rounds"] += 1
        told["batches"] += len(batches.finished(buckets.models))


def test_sorts_that_begin_while_pictures_arrive(buckets: Buckets, forks: Forks, told: collections.Counter[str]) -> None:
    """So that what they planned overlaps, and each has something of its own."""
    before = snapshot(buckets)
    for _ in range(ROUNDS):
        restore(buckets, before)
        begun = []
        for n, run in enumerate(("r1", "r2", "r3", "r4")):
            for number in range(4 * n, 4 * n + 4):
                buckets.put(f"cat_{number}.jpg", picture(f"cat {number}"))
            step = contract.Plan(run=run, models=buckets.models, source=buckets.source, result="")
            (uri,) = plan(step).outputs["plans"]
            begun.append(Child(dataclasses.replace(buckets.sort_step(run, **ARGUMENTS), plan=uri).argv()))
        ended = forks.run(*begun)
        assert ended.codes == [0] * 4
        assert len(contents(buckets)) == 16
        check_exactly_once(buckets)
        check_all_is_sorted(buckets)
        told["rounds"] += 1
        told["batches"] += len(batches.finished(buckets.models))


def test_the_ranges_of_a_run(buckets: Buckets, forks: Forks, told: collections.Counter[str]) -> None:
    """A content in two of them is packed by one; whoever finds it contested says so."""
    expected = put_pictures(buckets)
    step = contract.Plan(run="r1", models=buckets.models, source=buckets.source, result="", range_size=5)
    plans = plan(step).outputs["plans"]
    before = snapshot(buckets)
    sorts = [buckets.sort_step("r1", i, plan=uri, **ARGUMENTS) for i, uri in enumerate(plans)]
    assert len(sorts) == 4
    for _ in range(ROUNDS):
        restore(buckets, before)
        ended = forks.run(*(Child(one.argv()) for one in sorts))
        assert ended.codes == [0] * 4
        doubted = {key for keys in batches.retracted(buckets.models).values() for key in keys}
        certain = [row for row in packed(buckets) if row["key"] not in doubted]
        assert len(certain) == len(expected)
        check_exactly_once(buckets)
        check_all_is_sorted(buckets)
        told["rounds"] += 1


def test_attempts_at_the_same_run(buckets: Buckets, forks: Forks, told: collections.Counter[str]) -> None:
    """One that was given up, but lives on, and its retries."""
    expected = put_pictures(buckets)
    before = snapshot(buckets)
    for _ in range(ROUNDS):
        restore(buckets, before)
        ended = forks.run(*(3 * steps(buckets, "r1")))
        assert ended.codes == [0] * 3
        assert len(batches.finished(buckets.models)) == 1
        assert contents(buckets) == expected
        check_exactly_once(buckets)
        check_all_is_sorted(buckets)
        told["rounds"] += 1


def test_some_of_them_killed(buckets: Buckets, forks: Forks, told: collections.Counter[str]) -> None:
    """Retried, as the coordinator does."""
    expected, drawn = put_pictures(buckets), random.Random(7)
    before = snapshot(buckets)
    whole = forks.run(*steps(buckets, "r1", "r2"))
    for _ in range(ROUNDS):
        restore(buckets, before)
        children = steps(buckets, "r1", "r2", "r3", "r4")
        killed = [dataclasses.replace(child, delay=drawn.uniform(0.001, 1.5 * whole.seconds)) for child in children[1:]]
        ended = forks.run(children[0], *killed)
        again = [child for child, code in zip(children, ended.codes, strict=True) if code]
        told["killed"] += len(again)
        if again:
            assert forks.run(*again).codes == [0] * len(again)
        assert contents(buckets) == expected
        check_exactly_once(buckets, stray_copies=True, stray_batches=True)
        check_all_is_sorted(buckets)
        told["rounds"] += 1


# What happens then, one thing after the other


@pytest.mark.parametrize("first", ["r1", "r2"])
def test_what_comes_second_leaves_nothing_of_its_own(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Neither of the same run nor of another: here it has listed the source, and all is sorted before it reads."""
    expected = put_pictures(buckets)
    moment = ("write_if_absent", "runs/r2/plan/")
    done = do_before(buckets, monkeypatch, moment, lambda: buckets.sorted(first, **ARGUMENTS))
    buckets.sorted("r2", **ARGUMENTS)
    assert done
    assert [batch.run for batch in read_head(buckets.models).batches] == [first]
    assert contents(buckets) == expected
    check_exactly_once(buckets)


def test_refused_on_second_thoughts(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it has is contested by what another range has committed: nothing stays of what was written before."""
    for label, n in itertools.product(("cat", "dog"), range(4)):
        buckets.put(f"{label}_{n}.jpg", picture(n))
    step = contract.Plan(run="r1", models=buckets.models, source=buckets.source, result="", range_size=4)
    cats, dogs = plan(step).outputs["plans"]
    done = do_before(buckets, monkeypatch, ("write_if_absent", "ledger/head"), lambda: buckets.sorted("r1", plan=cats))
    with pytest.raises(StepError, match=r"4 of 4 new pictures cannot be used .* 4 conflicting-label"):
        sort(buckets.sort_step("r1", 1, plan=dogs))
    assert done
    assert buckets.sorted("r2", max_bad=1.0)["quarantined"] == {"conflicting-label": 4}
    check_exactly_once(buckets)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_contested_whichever_range_is_the_first(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch, first: int, together: bool
) -> None:
    """Two labels in one range, and one of them in the other, which may be about to commit."""
    for name in ("a/cat_1.jpg", "a/dog_1.jpg", "b/cat_1.jpg"):
        buckets.put(name, picture("contested"))
    buckets.put("b/cat_2.jpg", picture("good"))
    step = contract.Plan(run="r1", models=buckets.models, source=buckets.source, result="", range_size=2)
    plans = plan(step).outputs["plans"]
    one, other = (buckets.sort_step("r1", n, plan=plans[n], max_bad=1.0) for n in (first, 1 - first))
    if together:
        do_before(buckets, monkeypatch, ("write_if_absent", "ledger/head"), lambda: sort(one))
    else:
        sort(one)
    sort(other)
    doubted = {key for keys in batches.retracted(buckets.models).values() for key in keys}
    assert [row["uri"] for row in packed(buckets) if row["key"] not in doubted] == [f"{buckets.source}/b/cat_2.jpg"]
    check_exactly_once(buckets)


def test_an_attempt_that_fails_takes_nothing_from_the_other(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both write the same files, as they have read the same; one is cut off when it is about to commit."""
    put_pictures(buckets)
    moment = ("write_if_absent", "ledger/head")

    def cut_off() -> None:
        def fail() -> None:
            raise StoreError("the connection is gone", retry=True)

        with monkeypatch.context() as inner:
            do_before(buckets, inner, moment, fail)
            with pytest.raises(StoreError):
                buckets.sorted("r1", **ARGUMENTS)

    done = do_before(buckets, monkeypatch, moment, cut_off)
    buckets.sorted("r1", **ARGUMENTS)
    assert done
    check_exactly_once(buckets)


def test_contested_only_for_those_who_see_both(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees both takes their copies back; who has seen one, and commits first, has named its copy."""
    buckets.put("cat_1.jpg", picture("contested"))
    (uri,) = plan(contract.Plan(run="r1", models=buckets.models, source=buckets.source, result="")).outputs["plans"]
    buckets.put("dog_1.jpg", picture("contested"))
    for n in range(8):
        buckets.put(f"emu_{n}.jpg", picture(n))
    about_to_commit, committed = threading.Event(), threading.Event()

    def meanwhile() -> None:
        """r1 has copied and written all, and waits until r2 has."""

        def wait() -> None:
            about_to_commit.set()
            assert committed.wait(20)

        do_before(buckets, monkeypatch, ("write_if_absent", "ledger/head"), wait)
        pool.submit(buckets.sorted, "r2", max_bad=0.5)
        assert about_to_commit.wait(20)

    with ThreadPoolExecutor(1) as pool:
        do_before(buckets, monkeypatch, ("write_if_absent", "ledger/head"), meanwhile)
        buckets.sorted("r1", plan=uri)
        committed.set()
    assert [batch.run for batch in read_head(buckets.models).batches] == ["r1", "r2"]
    check_exactly_once(buckets)
