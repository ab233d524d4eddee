"""Contact sheets: many small pictures on one, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from demo.pictures.drawing import draw


def contact_sheet(kinds: Sequence[str], *, seed: int, per_kind: int = 10, side: int = 150) -> Image.Image:
    """A row of examples for every kind."""
    sheet = Image.new("RGB", (per_kind * side, len(kinds) * side), (255, 255, 255))
    for row, kind in enumerate(kinds):
        for column in range(per_kind):
            picture = draw(kind, seed + column)
            picture.thumbnail((side - 4, side - 4))
            left, top = (side - picture.width) // 2, (side - picture.height) // 2
            sheet.paste(picture, (column * side + left, row * side + top))
    return sheet
