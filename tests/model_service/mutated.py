"""Damaged pictures, each from its number alone; run as a program it decodes some and says of each how it went."""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from functools import cache
from typing import Any

from PIL import Image

from demo.pictures.drawing import draw
from model_service import images
from tests.model_service.buckets import encoded

ARCHIVE = b"PK\x03\x04\x14\0\0\0\0\0" + bytes(16) + b"\x05\0\0\0a.txtHello" + b"PK\x05\x06" + bytes(18)
PAGE = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>"
DOCUMENT = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
EXTREMES = (0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@cache
def seeds() -> dict[str, bytes]:
    """Whole pictures in every format, mode and layout that is worth damaging."""
    picture = draw("cat", 1, (160, 120))
    clear, grey, palette = picture.copy(), picture.convert("L"), picture.quantize(32)
    clear.putalpha(grey)
    turned = Image.Exif()
    turned[0x0112] = 6
    second = draw("dog", 2, picture.size)

    def made(image: Image.Image, kind: str, several: bool = False, **options: Any) -> bytes:
        if several:
            options |= {"save_all": True, "append_images": [second.copy()]}
        return encoded(image.copy(), kind, **options)  # copies: Pillow notes how it saved a picture, and trips over it

    return {
        "jpeg": made(picture, "JPEG", quality=90, exif=turned.tobytes(), comment=b"a picture"),
        "jpeg, progressive": made(picture, "JPEG", progressive=True, subsampling=0),
        "jpeg, CMYK": made(picture.convert("CMYK"), "JPEG"),
        "jpeg, grey, restarts": made(grey, "JPEG", restart_marker_rows=1),
        "mpo": made(picture, "MPO", several=True),
        "png": made(picture, "PNG", exif=turned.tobytes()),
        "png, alpha": made(clear, "PNG"),
        "png, palette": made(palette, "PNG", transparency=3),
        "png, 16 bits": made(grey.convert("I;16"), "PNG"),
        "apng": made(picture, "PNG", several=True),
        "gif": made(palette, "GIF", transparency=3, interlace=1),
        "gif, animated": made(picture, "GIF", several=True),
        "webp": made(picture, "WEBP", exif=turned.tobytes()),
        "webp, lossless, alpha": made(clear, "WEBP", lossless=True),
        "webp, animated": made(picture, "WEBP", several=True),
        "bmp": made(picture, "BMP"),
        "bmp, palette": made(palette, "BMP"),
        "bmp, 1 bit": made(picture.convert("1"), "BMP"),
        "tiff": made(picture, "TIFF"),
        "tiff, LZW, alpha": made(clear, "TIFF", compression="tiff_lzw", exif=turned),
        "tiff, deflate, float": made(grey.convert("F"), "TIFF", compression="tiff_adobe_deflate"),
        "tiff, jpeg": made(picture, "TIFF", compression="jpeg"),
        "tiff, fax": made(picture.convert("1"), "TIFF", compression="group4"),
        "tiff, pages": made(picture, "TIFF", several=True),
        "avif": made(picture, "AVIF", exif=turned.tobytes()),
        "avif, alpha": made(clear, "AVIF"),
        "avif, animated": made(picture, "AVIF", several=True),
        "heif": made(picture, "HEIF", exif=turned.tobytes()),
        "heif, alpha": made(clear, "HEIF"),
        "heif, several": made(picture, "HEIF", several=True),
        "heif, tiles": made(picture, "HEIF", tile_size=64),
    }


def mutated(number: int) -> tuple[str, bytes]:
    """What was done to which picture, and the outcome: the same for the same number."""
    rng = random.Random(number)
    name, other = (rng.choice(list(seeds())) for _ in "ab")
    data, foreign = bytearray(seeds()[name]), seeds()[other]
    at = rng.randrange(len(data))
    if rng.random() < 0.5:  # formats are most easily hurt where they begin
        at = rng.randrange(min(len(data), 200))
    match damage := rng.choice(("flips", "bytes", "cut", "hole", "header", "length", "repeat", "append", "prepend")):
        case "flips":
            for _ in range(rng.randint(1, 40)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "bytes":
            data[at : at + rng.randint(1, 64)] = rng.randbytes(rng.randint(1, 64))
        case "cut":
            del data[at:]
        case "hole":
            data[at : at + rng.randint(1, 500)] = bytes(rng.randint(0, 500))
        case "header":
            size = rng.choice((4, 12, 16, 30, 64))
            data[:size] = foreign[:size]
            damage += f" of {other}"
        case "length":
            for place in (at, rng.randrange(min(len(data), 200))):
                data[place : place + 4] = rng.choice(EXTREMES).to_bytes(4, rng.choice(("big", "little")))
        case "repeat":
            piece = data[at : at + rng.randint(8, 300)]
            data[at:at] = piece * rng.randint(1, 50)
        case "append":
            data += rng.choice((ARCHIVE, PAGE, DOCUMENT, foreign))
        case "prepend":
            data[:0] = rng.choice((ARCHIVE, PAGE, DOCUMENT, foreign, b"\n", b"\xef\xbb\xbf"))
    return f"{name}: {damage}", bytes(data)


def outcome(data: bytes) -> str:
    """`decoded`, or the reason of the refusal. Whatever else goes wrong is raised."""
    try:
        picture = images.decode(data, images.Limits())
    except images.BadImage as bad:
        return bad.reason if len(str(bad).splitlines()) == 1 else f"not one line: {bad}"
    assert (picture.mode, max(picture.size) <= images.PACKED_SIDE) == ("RGB", True)
    again = images.unpack(images.pack(picture), images.PACKED_SIDE)
    assert again.size == picture.size
    assert images.view(again, 64).shape == (64, 64, 3)
    images.perceptual_hash(picture)
    return "decoded"


def main(first: int, count: int) -> None:
    seeds()
    print(json.dumps({"drawn": len(seeds())}), flush=True)
    for number in range(first, first + count):
        how, data = mutated(number)
        start = time.monotonic()
        try:
            result = outcome(data)
        except Exception as error:  # the test lists them
            result = f"raised {error!r}"
        seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = {"number": number, "how": how, "result": result, "seconds": seconds, "peak": peak * 1024}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
