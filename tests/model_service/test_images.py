"""The one decode path: what is accepted, what it becomes, and why the rest is refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.pictures.broken import bomb
from demo.pictures.drawing import draw
from model_service import images
from model_service.images import BadImage, Limits
from tests.model_service.buckets import encoded

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 20), (20, 20, 230), (255, 255, 255)
LIMITS = Limits()
ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_format_may_note_how_it_was_held(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = images.decode(encoded(two_halves(RED, BLUE), kind, exif=exif.tobytes()), LIMITS)
    assert image.size == (40, 80)
    assert near(image.getpixel((20, 8)), RED, 30)
    assert near(image.getpixel((20, 70)), BLUE, 30)


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
        (
            lambda: encoded(Image.fromarray(np.asarray(grey16(65535, 0)) / np.float32(65535)), "TIFF"),
            (255,) * 3,
            (0,) * 3,
        ),
        (
            lambda: encoded(Image.fromarray(np.asarray(grey16(200, 40)).astype(np.float32)), "TIFF"),
            (200,) * 3,
            (40,) * 3,
        ),
        (lambda: encoded(Image.fromarray(np.asarray(grey16(0, 65535)).astype(np.int32)), "TIFF"), (0,) * 3, (255,) * 3),
    ],
    ids=["CMYK", "L", "1", "P", "16-bit PNG", "16-bit TIFF", "LA", "float 0-1", "float 0-255", "32-bit TIFF"],
)
def test_every_colour_mode_becomes_rgb(
    make: Callable[[], bytes], left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    image = images.decode(make(), LIMITS)
    assert image.mode == "RGB"
    assert near(image.getpixel((8, 20)), left)
    assert near(image.getpixel((image.width - 8, 20)), right)


def test_a_float_that_is_no_number_is_black() -> None:
    pixels = np.asarray(grey16(0, 255)).astype(np.float32)
    pixels[:, :8] = np.nan
    image = images.decode(encoded(Image.fromarray(pixels), "TIFF"), LIMITS)
    assert (image.getpixel((2, 9)), image.getpixel((60, 9))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "MPO"])
def test_of_several_frames_or_pages_it_is_the_first(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in (GREEN, RED)]
    image = images.decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), LIMITS)
    assert near(image.getpixel((9, 9)), GREEN, 30)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
@pytest.mark.parametrize("size", [(2900, 1201), (517, 1999), (1537, 90)])
def test_a_large_picture_is_made_rgb_piece_by_piece_as_if_at_once(mode: str, size: tuple[int, int]) -> None:
    image = noise(60, 40).resize(size).convert("RGB" if mode == "RGBA" else "P" if mode == "P" else "L")
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    assert image.mode == mode

    flat = Image.alpha_composite(Image.new("RGBA", size, "white"), image.convert("RGBA")).convert("RGB")
    decoded = images.decode(encoded(image, "PNG", compress_level=1), LIMITS)
    at_once = flat.resize(decoded.size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    assert np.abs(np.subtract(np.asarray(decoded), np.asarray(at_once), dtype=int)).max() <= 1


@pytest.mark.parametrize(
    ("size", "kind", "read"),
    [
        ((1280, 960), "JPEG", (640, 480)),
        ((4000, 3000), "JPEG", (1000, 750)),
        ((1000, 4000), "JPEG", (250, 1000)),
        ((1000, 750), "JPEG", (1000, 750)),
        ((1280, 960), "PNG", (1280, 960)),
    ],
)
def test_an_opened_picture_tells_how_many_pixels_will_be_decoded(
    size: tuple[int, int], kind: str, read: tuple[int, int]
) -> None:
    opened = images.open_image(encoded(Image.new("RGB", size, GREEN), kind), LIMITS)
    assert opened.size == read
    assert max(images.finish(opened).size) == 512


def test_opening_decodes_no_pixel() -> None:
    data = encoded(noise(128, 128), "PNG")
    opened = images.open_image(data[: len(data) // 2], LIMITS)
    with pytest.raises(BadImage) as refused:
        images.finish(opened)
    assert refused.value.reason == "truncated"


def test_a_jpeg_is_decoded_smaller_without_a_difference_that_matters() -> None:
    picture = draw("horse", 3, (1000, 750)).resize((1280, 960), Image.Resampling.LANCZOS)
    data = encoded(picture, "JPEG", quality=92)
    whole = Image.open(io.BytesIO(data)).convert("RGB").resize((512, 384), Image.Resampling.BILINEAR)
    difference = np.subtract(np.asarray(images.decode(data, LIMITS)), np.asarray(whole), dtype=float)
    assert np.sqrt((difference**2).mean()) < 2, "of 255: less than packing changes"


MEASURE = """
import json, sys
from pathlib import Path
from model_service import images

def line(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

images.decode(Path(sys.argv[1], "small").read_bytes(), images.Limits())
said = {}
for kind in sys.argv[2:]:
    data = Path(sys.argv[1], kind).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    before, opened = line("VmRSS"), images.open_image(data, images.Limits())
    foreseen = images.memory(opened)
    images.finish(opened)
    said[kind] = [line("VmHWM") - before, foreseen]
    del opened
print(json.dumps(said))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_a_large_picture_takes_no_more_memory_than_foreseen(tmp_path: Path) -> None:
    small = draw("panda", 1, (800, 600))
    large = small.resize((2000, 1500))
    clear = large.copy()
    clear.putalpha(128)
    made = {
        "small": encoded(small, "PNG"),
        "PNG": encoded(clear, "PNG", compress_level=1),
        "TIFF": encoded(clear, "TIFF", compression="tiff_lzw"),
        "GIF": encoded(large.quantize(8), "GIF"),
        "WEBP": encoded(large, "WEBP", quality=50, method=0),
        "AVIF": encoded(large, "AVIF", speed=10),
        "JPEG": encoded(large, "JPEG"),
        "progressive": encoded(large, "JPEG", progressive=True, subsampling=0),
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    program = [sys.executable, "-c", MEASURE, str(tmp_path), *list(made)[1:]]
    said = json.loads(subprocess.run(program, cwd=ROOT, check=True, capture_output=True).stdout)
    strips = 10_000_000  # what is made RGB at once, and what decoding takes whatever the size
    assert {kind: (peak, foreseen) for kind, (peak, foreseen) in said.items() if peak > foreseen + strips} == {}
    assert said["PNG"][0] < 8 * large.width * large.height + strips, "bytes: the picture itself, and as RGB"


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


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIF"])
def test_a_cut_that_the_decoder_does_not_tell_from_damage(kind: str) -> None:
    data = encoded(noise(128, 128), kind)
    assert why(data[: len(data) // 2])[0] == "unreadable"


def test_what_begins_as_a_picture_is_a_damaged_one() -> None:
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "HEIF"):
        assert why(encoded(noise(64, 64), kind)[:16] + b"and then nothing of the kind")[0] in (
            "unreadable",
            "truncated",
        )


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


def test_a_longer_strip_than_allowed() -> None:
    assert images.decode(encoded(Image.new("RGB", (32, 640)), "PNG"), LIMITS).size == (26, 512)
    reason, text = why(encoded(Image.new("RGB", (32, 672)), "PNG"))
    assert reason == "too-small"
    assert text == "32×672 pixels, one side 21.0 times the other, allowed is 20 times"
    assert images.decode(encoded(Image.new("RGB", (32, 672)), "PNG"), Limits(max_aspect=21)).size == (24, 512)


def test_the_reasons_are_a_closed_list() -> None:
    assert list(images.REASONS) == [
        *("unreadable", "truncated", "not-an-image", "too-large", "too-small", "bomb"),
        *("no-label", "label-not-allowed", "conflicting-label", "vanished"),
    ]
    assert all(len(text.splitlines()) == 1 for text in images.REASONS.values())
    assert (
        str(BadImage("unreadable", "a decoder's\n\ttext\0 of \x1b[31m many  lines "))
        == "a decoder's text of [31m many lines"
    )


def test_without_the_decoder_a_heic_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "heic").write_bytes(encoded(noise(64, 64), "HEIF"))
    program = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from model_service import images\n"
        "try: images.decode(open(sys.argv[1], 'rb').read(), images.Limits())\n"
        "except images.BadImage as bad: print(bad.reason, 'HEIF' in images.FORMATS)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "heic")]
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout == b"not-an-image False\n"


def test_nothing_but_pixels_is_packed() -> None:
    picture = two_halves(RED, BLUE)
    plain, told = (encoded(picture, "GIF", comment=comment) for comment in (b"", b"where we live " * 9000))
    assert images.pack(images.decode(told, LIMITS)) == images.pack(images.decode(plain, LIMITS))


def test_damaged_metadata_does_not_matter() -> None:
    data = encoded(two_halves(RED, BLUE), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert near(images.decode(data, LIMITS).getpixel((10, 20)), RED)


def distance(one: Image.Image, other: Image.Image) -> int:
    """In how many bits of 64 the perceptual hashes differ."""
    first, second = images.perceptual_hash(one), images.perceptual_hash(other)
    assert first is not None
    assert second is not None
    return (first ^ second).bit_count()


DRAWN = [draw(kind, seed, (400, 300)) for kind in ("cat", "elephant", "giraffe") for seed in (1, 2)]


@pytest.mark.parametrize("picture", DRAWN)
def test_a_picture_saved_again_has_nearly_the_same_hash(picture: Image.Image) -> None:
    half = picture.resize((200, 150), Image.Resampling.LANCZOS)
    for again in (encoded(picture, "JPEG", quality=60), encoded(half, "WEBP"), encoded(half, "JPEG", quality=60)):
        assert distance(picture, images.decode(again, LIMITS)) <= 4


def test_other_pictures_have_other_hashes() -> None:
    apart = [distance(one, other) for at, one in enumerate(DRAWN) for other in DRAWN[:at]]
    assert min(apart) > 4


def test_a_hash_has_64_bits() -> None:
    hashes = [images.perceptual_hash(picture) for picture in DRAWN]
    assert all(one is not None and 0 <= one < 2**64 for one in hashes)
    assert all(20 <= (one or 0).bit_count() <= 44 for one in hashes), "about half of them set"


@pytest.mark.parametrize("size", [(512, 26), (26, 512), (32, 32), (1, 1)])
def test_a_plain_picture_has_no_hash(size: tuple[int, int]) -> None:
    assert images.perceptual_hash(Image.new("RGB", size, RED)) is None
    faint = Image.effect_noise(size, 3).convert("RGB")
    assert images.perceptual_hash(faint) is None
