"""Pictures decoded in processes beside the step's own: the same results, and no picture takes the step with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_service.images import BadImage, Limits
from model_service.sorting import decoding
from model_service.sorting.decoding import Decoder, decode
from tests.model_service.buckets import square

LETHAL = b"lethal"


def decode_or_die(data: bytes, limits: Limits) -> decoding.Decoded:
    """As a decoder with a bug does it."""
    if data == LETHAL:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode(data, limits)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    monkeypatch.setattr(decoding, "_cores", lambda: 2)
    made = Decoder(Limits(), decoding.MANY)
    yield made
    made.close()


def test_the_same_as_in_this_process(decoder: Decoder) -> None:
    pictures = [square("cat", n) for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(decoder.decode, pictures)) == [decode(data, Limits()) for data in pictures]


def test_a_bad_picture_has_its_reason(decoder: Decoder) -> None:
    with pytest.raises(BadImage, match="not a picture in a known format") as caught:
        decoder.decode(b"text")
    assert caught.value.reason == "not-an-image"


def test_a_picture_that_kills_its_decoder_is_unreadable_and_the_others_are_not(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "decode", decode_or_die)
    contents = [square("cat", n) for n in range(12)]
    contents.insert(5, LETHAL)

    def reason(data: bytes) -> str:
        try:
            decoder.decode(data)
        except BadImage as bad:
            return bad.reason
        return "fine"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reason, contents))
    assert found == ["fine"] * 5 + ["unreadable"] + ["fine"] * 7
    assert reason(square("dog")) == "fine", "also after it"


def test_few_pictures_need_no_processes() -> None:
    few = Decoder(Limits(), decoding.MANY - 1)
    assert few.decode(square("cat")) == decode(square("cat"), Limits())
    few.close()
