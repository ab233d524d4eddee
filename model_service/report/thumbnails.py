"""The contact sheet: each picture small enough to be part of the page, beside what is true and what was predicted."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from model_service import images

SIDE = 160  # longer side, in pixels
WRONG, UNSURE = 60, 24  # tiles of errors and of the least certain; full of the noisiest pictures, a page is under 3 MB
_QUALITY = 72
_ANY = images.Limits(min_side=1, max_aspect=images.PACKED_SIDE)  # sort has refused what is to be refused


class Tile(NamedTuple):
    """A picture of the contact sheet. `thumbnail` is a data: URI, None for a picture that is not at hand."""

    thumbnail: str | None
    name: str
    uri: str
    label: str
    predicted: str
    probability: float | None
    margin: float | None


def tiles(rows: Iterable[Mapping[str, Any]], pictures: Mapping[str, bytes]) -> list[Tile]:
    """Of rows of a document's `errors` or `uncertain`, in their order; `pictures` are JPEGs by key."""
    return [
        Tile(
            thumbnail=data_uri(pictures[row["key"]]) if row["key"] in pictures else None,
            name=row["uri"].rpartition("/")[2],
            uri=row["uri"],
            label=row["label"],
            predicted=row["predicted"],
            probability=row["probability"],
            margin=row["margin"],
        )
        for row in rows
    ]


def data_uri(picture: bytes) -> str | None:
    """The picture as a data: URI of a small JPEG; None when it cannot be decoded."""
    try:
        small = images.decode(picture, _ANY, SIDE)
    except images.BadImage:
        return None
    out = io.BytesIO()
    small.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
