"""How a picture looks: numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from model_service.looks import look


def plain(*colour: int, side: int = 32) -> NDArray[np.uint8]:
    return np.full((side, side, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("colour", "brightness"),
    [((0, 0, 0), 0), ((255, 255, 255), 1), ((51, 51, 51), 0.2), ((255, 0, 0), 0.299), ((0, 255, 0), 0.587)],
)
def test_brightness_is_the_mean_luma(colour: tuple[int, ...], brightness: float) -> None:
    assert look(plain(*colour)).brightness == pytest.approx(brightness, abs=1e-6)


def test_a_plain_picture_is_not_sharp() -> None:
    assert look(plain(200, 100, 50)).sharpness == pytest.approx(0, abs=1e-9)


def test_sharpness_of_one_white_pixel_on_black() -> None:
    view = plain(0, 0, 0, side=12)
    view[5, 5] = 255
    assert look(view).sharpness == pytest.approx((4**2 + 4 * 1) / 10**2), "the Laplacian is 4 there, -1 at four places"


def test_a_blurred_picture_is_less_sharp_and_as_bright() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    blurred = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)))
    sharp, soft = look(noise), look(blurred)
    assert soft.sharpness < sharp.sharpness / 10
    assert soft.brightness == pytest.approx(sharp.brightness, abs=0.01)


def test_it_does_not_change_the_picture() -> None:
    view = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    before = view.copy()
    view.flags.writeable = False  # as a memory-mapped one is
    look(view)
    assert (view == before).all()
