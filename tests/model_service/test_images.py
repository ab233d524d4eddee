"""The one decode path: what is accepted, what it becomes, and why the rest is refused."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from demo.pictures.broken import bomb
from model_service import images
from model_service.images import BadImage, Limits
from tests.model_service.buckets import encoded

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 20), (20, 20, 230), (255, 255, 255)
LIMITS = Limits()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def two_halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (80, 40), left)
    image.paste(right, (40, 0, 80, 40))
    return image


def near(pixel: object, colour: tuple[int, ...], tolerance: int = 12) -> bool:
    return bool(np.abs(np.subtract(np.asarray(pixel), colour)).max() <= tolerance)


def why(data: bytes, limits: Limits = LIMITS) -> tuple[str, str]:
    """The reason and text of a refusal."""
    with pytest.raises(BadImage) as refused:
        images.decode(data, limits)
    return refused.value.reason, str(refused.value)


@pytest.mark.parametrize("kind", images.FORMATS)
def test_every_format_becomes_rgb(kind: str) -> None:
    image = images.decode(encoded(two_halves(RED, BLUE), kind), LIMITS)
    assert (image.mode, image.size) == ("RGB", (80, 40))
    assert near(image.getpixel((10, 20)), RED, 30)
    assert near(image.getpixel((70, 20)), BLUE, 30)


@pytest.mark.parametrize(
    ("orientation", "red_end"),
    [
        (1, "left"),
        (2, "right"),
        (3, "right"),
        (4, "left"),
        (5, "top"),
        (6, "top"),
        (7, "bottom"),
        (8, "bottom"),
    ],
)
def test_a_picture_stands_upright_whatever_its_camera_noted(orientation: int, red_end: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = images.decode(encoded(two_halves(RED, BLUE), "JPEG", exif=exif.tobytes(), quality=95), LIMITS)
    assert image.size == ((80, 40) if red_end in ("left", "right") else (40, 80))
    width, height = image.size
    ends = {
        "left": (4, height // 2),
        "right": (width - 5, height // 2),
        "top": (width // 2, 4),
        "bottom": (width // 2, height - 5),
    }
    assert near(image.getpixel(ends[red_end]), RED)
    assert [end for end, place in ends.items() if near(image.getpixel(place), BLUE)] != []


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (64, 64), (*RED, 0))
    image.paste((*RED, 255), (0, 0, 32, 64))
    image.paste((0, 0, 0, 128), (0, 0, 64, 8))
    shown = images.decode(encoded(image, "PNG"), LIMITS)
    assert shown.getpixel((10, 40)) == RED
    assert shown.getpixel((50, 40)) == WHITE
    assert near(shown.getpixel((50, 4)), (127, 127, 127), 1)


def test_a_palette_with_a_transparent_colour_is_white_there() -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([*GREEN, *BLUE])
    image.paste(1, (0, 0, 32, 64))
    shown = images.decode(encoded(image, "PNG", transparency=0), LIMITS)
    assert shown.getpixel((10, 10)) == BLUE
    assert shown.getpixel((50, 10)) == WHITE


def grey16(low: int, high: int) -> Image.Image:
    pixels = np.full((64, 64), low, np.uint16)
    pixels[:, 32:] = high
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("make", "left", "right"),
    [
        (lambda: encoded(two_halves(RED, BLUE).convert("CMYK"), "JPEG", quality=95), RED, BLUE),
        (lambda: encoded(two_halves((200,) * 3, (40,) * 3).convert("L"), "PNG"), (200,) * 3, (40,) * 3),
        (lambda: encoded(two_halves((255,) * 3, (0,) * 3).convert("1"), "PNG"), (255,) * 3, (0,) * 3),
        (lambda: encoded(two_halves(RED, BLUE).quantize(2), "GIF"), RED, BLUE),
        (lambda: encoded(grey16(0, 65535), "PNG"), (0,) * 3, (255,) * 3),
        (lambda: encoded(grey16(32768, 16384), "TIFF"), (127,) * 3, (63,) * 3),
        (lambda: encoded(two_halves((200,) * 3, (40,) * 3).convert("LA"), "PNG"), (200,) * 3, (40,) * 3),
    ],
    ids=["CMYK", "L", "1", "P", "16-bit PNG", "16-bit TIFF", "LA"],
)
def test_every_colour_mode_becomes_rgb(
    make: Callable[[], bytes], left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    image = images.decode(make(), LIMITS)
    assert image.mode == "RGB"
    assert near(image.getpixel((8, 20)), left)
    assert near(image.getpixel((image.width - 8, 20)), right)


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in (GREEN, RED)]
    assert near(
        images.decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), LIMITS).getpixel((9, 9)),
        GREEN,
    )


@pytest.mark.parametrize(
    ("size", "packed"),
    [
        ((1600, 1200), (512, 384)),
        ((600, 1800), (171, 512)),
        ((513, 512), (512, 511)),
        ((512, 100), (512, 100)),
        ((40, 33), (40, 33)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_longer_side_has_at_most_512_pixels(size: tuple[int, int], packed: tuple[int, int], kind: str) -> None:
    image = images.decode(encoded(Image.new("RGB", size, GREEN), kind), LIMITS)
    assert image.size == packed
    with Image.open(io.BytesIO(images.pack(image))) as jpeg:
        assert (jpeg.format, jpeg.size, jpeg.mode) == ("JPEG", packed, "RGB")


def test_packing_is_reproducible_and_close() -> None:
    image = images.decode(encoded(Image.radial_gradient("L").convert("RGB"), "PNG"), LIMITS)
    packed = images.pack(image)
    assert images.pack(image) == packed
    difference = np.subtract(np.asarray(images.unpack(packed, 256)), np.asarray(image), dtype=int)
    assert np.abs(difference).max() <= 8


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("picture", [(512, 384), (512, 40), (40, 512), (33, 33)])
def test_the_model_sees_a_square(picture: tuple[int, int], size: int) -> None:
    unpacked = images.unpack(images.pack(Image.new("RGB", picture, BLUE)), size)
    assert min(unpacked.size) >= min(size, *picture), "never decoded smaller than it is shown, unless it is smaller"
    view = images.view(unpacked, size)
    assert (view.shape, view.dtype) == ((size, size, 3), np.uint8)
    assert near(view[0, 0], BLUE)
    assert near(view[-1, -1], BLUE)


def test_the_view_is_the_middle_of_the_picture() -> None:
    image = Image.new("RGB", (90, 30), RED)
    image.paste(GREEN, (30, 0, 60, 30))
    view = images.view(image, 30)
    assert (view == np.array(GREEN, np.uint8)).all()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"Not a picture.\n" * 50, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8", bytes(4096)],
    ids=["empty", "one byte", "text", "svg", "two bytes of a JPEG", "zeros"],
)
def test_what_is_no_picture(data: bytes) -> None:
    assert why(data) == ("not-an-image", images.REASONS["not-an-image"])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_a_picture_cut_short(kind: str) -> None:
    data = encoded(noise(128, 128), kind)
    reason, text = why(data[: len(data) * 3 // 4])
    assert reason == "truncated"
    assert "\n" not in text


@pytest.mark.parametrize(("kind", "reason"), [("WEBP", "unreadable"), ("AVIF", "not-an-image")])
def test_a_cut_that_the_decoder_does_not_tell_from_damage(kind: str, reason: str) -> None:
    data = encoded(noise(128, 128), kind)
    assert why(data[: len(data) // 2])[0] == reason


@pytest.mark.parametrize("kind", images.FORMATS)
def test_damage_anywhere_is_a_reason_and_never_another_error(kind: str) -> None:
    """Any bytes at all either decode or are refused: 60 seeded ways to damage each format."""
    whole = encoded(noise(64, 48), kind)
    generator = np.random.default_rng(7)
    reasons, modes = [], set()
    for _ in range(60):
        data = bytearray(whole)
        for at in generator.integers(0, len(data), 1 + int(generator.integers(0, 12))):
            data[at] = generator.integers(0, 256)
        try:
            modes.add(images.decode(bytes(data), LIMITS).mode)
        except BadImage as bad:
            reasons.append(bad.reason)
    assert modes <= {"RGB"}
    assert set(reasons) <= set(images.REASONS)
    assert reasons or kind == "BMP", "but for raw pixels, some damage is noticed"


def test_a_damaged_avif() -> None:
    data = bytearray(encoded(noise(128, 128), "AVIF"))
    content = data.index(b"mdat") + 4
    data[content : content + 200] = bytes(200)
    reason, text = why(bytes(data))
    assert reason == "unreadable"
    assert text.startswith(images.REASONS["unreadable"])


def test_a_bomb_is_refused_by_its_header() -> None:
    reason, text = why(bomb())
    assert reason == "bomb"
    assert text == f"30000×30000 pixels in {len(bomb()):,} bytes, allowed are 50,000,000 pixels"


def test_more_pixels_than_allowed() -> None:
    limits = Limits(max_pixels=10_000)
    assert why(encoded(noise(120, 100), "PNG"), limits)[0] == "too-large"
    assert images.decode(encoded(noise(100, 100), "PNG"), limits).size == (100, 100)


def test_more_bytes_than_allowed() -> None:
    data = encoded(noise(64, 64), "PNG")
    assert images.decode(data, Limits(max_bytes=len(data))).size == (64, 64)
    assert why(data, Limits(max_bytes=len(data) - 1)) == (
        "too-large",
        f"{len(data):,} bytes, allowed are {len(data) - 1:,}",
    )


def test_fewer_pixels_than_allowed() -> None:
    assert images.decode(encoded(Image.new("RGB", (32, 32)), "PNG"), LIMITS).size == (32, 32)
    reason, text = why(encoded(Image.new("RGB", (400, 31)), "PNG"))
    assert reason == "too-small"
    assert text == "400×31 pixels, the shorter side must have 32"


def test_damaged_metadata_does_not_matter() -> None:
    data = encoded(two_halves(RED, BLUE), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert near(images.decode(data, LIMITS).getpixel((10, 20)), RED)
