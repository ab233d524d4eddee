"""How long each model takes, on a clock that stands still but for what the test has it take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.build import tiny
from model_service.inference import Network
from model_service.inference.network import Inference
from model_service.judging.latency import PICTURES, TURNS, latency
from tests.model_service.buckets import square

JPEGS = [square("cat", n) for n in range(16)]


class Machine:
    """Its time goes by as models compute; `noise` is what else happens at the n-th picture."""

    def __init__(self, noise: Callable[[int], float] = lambda n: 0.0) -> None:
        self.now, self.computed, self._noise = 0.0, list[str](), noise

    def model(self, name: str, seconds: float) -> Network:
        machine = self

        class Timed(Network):
            def infer(self, view: NDArray[np.uint8]) -> Inference:
                machine.now += seconds + machine._noise(len(machine.computed))
                machine.computed.append(name)
                return super().infer(view)

        made = Timed(name, CARD, tiny.model(3), "LATENCY")
        machine.now, machine.computed = 0.0, []  # a model tries itself when it is loaded
        return made

    def clock(self) -> float:
        return self.now


CARD: dict[str, Any] = {"classes": ["a", "b", "c"], "preprocessing": tiny.PREPROCESSING}


def slower(machine: Machine, candidate: float, champion: float, limit: float = 0.2) -> float:
    models = [machine.model("candidate", candidate), machine.model("champion", champion)]
    found = latency(models, JPEGS, limit, machine.clock)
    assert found is not None
    assert found.slower is not None
    return found.slower


def test_the_time_of_a_picture_and_how_much_longer_the_candidate_takes() -> None:
    machine = Machine()
    models = [machine.model("candidate", 0.012), machine.model("champion", 0.010)]
    found = latency(models, JPEGS, 0.2, machine.clock)
    assert found is not None
    assert found.seconds == pytest.approx([0.012, 0.010])
    assert found.slower == pytest.approx(0.2)


def test_they_take_turns_and_each_begins_as_often() -> None:
    machine = Machine()
    slower(machine, 0.01, 0.01)
    computed = machine.computed[8:]  # after warming up
    pairs = [tuple(computed[i : i + 2]) for i in range(0, len(computed), 2)]
    assert len(pairs) == len(JPEGS) * TURNS
    assert pairs.count(("candidate", "champion")) == pairs.count(("champion", "candidate")) == len(pairs) / 2


def test_what_slows_the_machine_for_a_while_slows_neither_more() -> None:
    assert slower(Machine(lambda n: 0.5 if 20 < n < 60 else 0.0), 0.01, 0.01) == pytest.approx(0, abs=0.01)
    assert slower(Machine(lambda n: 0.3 if n % 7 == 0 else 0.0), 0.011, 0.010) == pytest.approx(0.1, abs=0.01)


def test_one_round_of_bad_luck_is_forgiven_and_slowness_is_not() -> None:
    round_of = 2 * (4 + len(JPEGS) * TURNS)
    unlucky = Machine()
    models = [unlucky.model("candidate", 0.01), unlucky.model("champion", 0.01)]
    unlucky._noise = lambda n: 0.02 if n < round_of and len(unlucky.computed) % 4 in (0, 3) else 0.0
    found = latency(models, JPEGS, 0.2, unlucky.clock)
    assert found is not None
    assert found.slower == pytest.approx(0, abs=0.01)
    slow = Machine()
    assert slower(slow, 0.02, 0.01) == pytest.approx(1.0)
    assert len(slow.computed) == 3 * round_of


def test_one_model_alone_is_timed_and_without_pictures_none_is() -> None:
    machine = Machine()
    found = latency([machine.model("candidate", 0.01)], JPEGS, 0.2, machine.clock)
    assert found is not None
    assert found.seconds == pytest.approx([0.01])
    assert found.slower is None
    assert latency([machine.model("candidate", 0.01)], [], 0.2) is None


def test_the_same_model_is_as_fast_as_itself_on_a_real_clock() -> None:
    models = [Network(name, CARD, tiny.model(3), "LATENCY") for name in ("candidate", "champion")]
    found = latency(models, [square("dog", n) for n in range(PICTURES + 8)], 0.2)
    assert found is not None
    assert found.slower is not None
    assert found.slower < 0.2
