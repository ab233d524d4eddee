"""calibrate: a network that is too sure, or not sure enough, is set right by pictures that it did not learn from."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from model_service import backbone
from model_service.training import calibrate


def answers(pictures: int, sharper: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [pictures, 4], so many times too sharp, and classes drawn by what they should have been."""
    drawn = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(pictures, 4, generator=drawn)
    targets = torch.multinomial(honest.softmax(1), 1, generator=drawn)[:, 0]
    return honest * sharper, targets


@pytest.mark.parametrize("sharper", [0.4, 1.0, 3.0])
def test_it_finds_how_much_too_sure_the_answers_are(sharper: float) -> None:
    logits, targets = answers(4000, sharper)
    assert calibrate.temperature(logits, targets) == pytest.approx(sharper, rel=0.1)


@pytest.mark.parametrize("pictures", [1, 3, 10, 30])
@pytest.mark.parametrize("sharper", [0.4, 3.0])
def test_the_log_loss_is_never_higher_for_it(pictures: int, sharper: float) -> None:
    logits, targets = answers(pictures, sharper)
    found = calibrate.temperature(logits, targets)
    assert functional.cross_entropy(logits / found, targets) <= functional.cross_entropy(logits, targets)


def test_a_few_pictures_all_right_prove_no_certainty() -> None:
    targets = torch.arange(4)
    few, many = (functional.one_hot(targets.repeat(n)).float() * 2 for n in (1, 250))
    assert calibrate.temperature(few, targets) > 0.5
    assert calibrate.temperature(many, targets.repeat(250)) < 0.3


def test_sums_in_another_order_give_the_same_one() -> None:
    logits, targets = answers(50, 3.0)
    others = logits * (1 + 1e-6 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)))
    assert calibrate.temperature(others, targets) == calibrate.temperature(logits, targets)


def test_one_class_wrong_for_sure_has_a_finite_temperature() -> None:
    logits = torch.tensor([[200.0, -200.0]])
    assert 1 < calibrate.temperature(logits, torch.tensor([1])) <= 10
    assert math.isfinite(calibrate.temperature(torch.zeros(3, 2), torch.tensor([0, 1, 1])))


@pytest.mark.parametrize("name", ["resnet18", "test_vit"])
def test_the_network_then_gives_logits_divided_by_it(name: str) -> None:
    network = backbone.build(name, 64).network(3).eval()
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = network(pictures)
        calibrate.fold(2.5, network)
        torch.testing.assert_close(network(pictures), before / 2.5)
