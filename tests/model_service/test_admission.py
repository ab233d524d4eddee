"""Which labels are taken, held or refused."""

from __future__ import annotations

from typing import Literal, get_args

import pytest

from model_service.errors import StepError
from model_service.sorting.admission import Admission, Decision

Policy = Literal["accept", "hold", "refuse"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
KNOWN = {"cat", "dog"}


@pytest.mark.parametrize("policy", POLICIES)
def test_without_a_list_what_was_packed_before_is_taken(policy: Policy) -> None:
    assert Admission("", policy, KNOWN).of("cat") == "take"


@pytest.mark.parametrize(("policy", "decision"), [("accept", "take"), ("hold", "hold"), ("refuse", "refuse")])
def test_without_a_list_the_policy_decides_on_new_labels(policy: Policy, decision: Decision) -> None:
    assert Admission("", policy, KNOWN).of("okapi") == decision


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_list_names_is_taken_be_it_new_or_not(policy: Policy) -> None:
    admission = Admission("cat,okapi", policy, KNOWN)
    assert [admission.of(label) for label in ("cat", "okapi")] == ["take", "take"]


@pytest.mark.parametrize("policy", ["accept", "refuse"])
def test_a_list_closes_the_set_of_classes_be_the_others_known_or_not(policy: Policy) -> None:
    admission = Admission("cat", policy, KNOWN)
    assert [admission.of(label) for label in ("dog", "okapi")] == ["refuse", "refuse"]


def test_while_new_ones_are_held_a_list_adds_to_what_is_known() -> None:
    admission = Admission("okapi", "hold", KNOWN)
    assert [admission.of(label) for label in ("dog", "okapi", "zebra")] == ["take", "take", "hold"]


def test_new_is_what_was_never_packed_whatever_the_list_says() -> None:
    admission = Admission("cat, okapi", "hold", KNOWN)
    assert [label for label in ("cat", "dog", "okapi", "zebra") if admission.is_new(label)] == ["okapi", "zebra"]


@pytest.mark.parametrize(
    "allow",
    [
        "polar_bear,löwe",
        " Polar Bear ,, LÖWE",
        "polar bear\nlo\u0308we\n",
        '"Polar Bear", "Löwe"',
        "löwe,löwe,polar__bear,",
    ],
)
def test_a_list_is_read_as_people_write_it(allow: str) -> None:
    admission = Admission(allow, "refuse", set())
    assert [admission.of(label) for label in ("polar_bear", "löwe", "cat")] == ["take", "take", "refuse"]


def test_a_label_with_a_comma_in_it_stands_in_quotes() -> None:
    admission = Admission('"bear, polar",cat', "refuse", set())
    assert [admission.of(label) for label in ("bear,_polar", "cat", "bear")] == ["take", "take", "refuse"]


@pytest.mark.parametrize("allow", ["", " ", "\n"])
def test_a_list_of_nothing_is_none(allow: str) -> None:
    assert Admission(allow, "accept", set()).of("cat") == "take"


@pytest.mark.parametrize(
    ("allow", "named"),
    [("cat,17", "'17' can be no label"), ("cat,a/b,..", "'a/b', '..' can be no label"), (",", "',' names no label")],
)
def test_a_name_that_can_be_no_label_is_refused(allow: str, named: str) -> None:
    with pytest.raises(StepError, match=named) as refused:
        Admission(allow, "accept", set())
    assert "--allow" in refused.value.remedy
