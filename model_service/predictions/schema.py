"""The columns of a file of predictions, and what it says of where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from model_service.errors import StepError

EMBEDDING = np.dtype("<f2")  # of an embedding's numbers: BigQuery has no float16, so a row holds their bytes
OF_A_SHARD = ("key", "uri", "generation", "split", "label")  # what is known of a picture before it is predicted
COLUMNS = [
    ("key", pa.string()),
    ("uri", pa.string()),
    ("generation", pa.int64()),
    ("split", pa.string()),
    ("label", pa.string()),
    ("predicted", pa.string()),
    ("probability", pa.float32()),
    ("margin", pa.float32()),
    ("top5", pa.list_(pa.string())),
    ("top5_probabilities", pa.list_(pa.float32())),
]
AFTER = [
    ("brightness", pa.float32()),
    ("sharpness", pa.float32()),
    ("model", pa.string()),
    ("preprocessing", pa.string()),
    ("precision", pa.string()),
]
REMEDY = "remove it, and run predict again"
_TOLD = ("model", "preprocessing", "precision", "shard", "shard_sha256")  # in the metadata as they are


class BadPredictions(StepError):
    """A file among the predictions that is damaged, not one of them, or of another model."""


@dataclass(frozen=True)
class Origin:
    """What a file of predictions was made by and from. `dimensions` of an embedding; None: the file has none."""

    classes: list[str]
    model: str
    preprocessing: str
    precision: str
    shard: str  # URI
    shard_sha256: str
    dimensions: int | None

    def schema(self) -> pa.Schema:
        """A row a picture; the metadata has the origin itself."""
        embedding = [("embedding", pa.binary(self.dimensions * EMBEDDING.itemsize))] if self.dimensions else []
        probabilities = ("probabilities", pa.list_(pa.float32(), len(self.classes)))
        metadata = {"classes": "\n".join(self.classes), "dimensions": str(self.dimensions or "")}
        metadata |= {name: getattr(self, name) for name in _TOLD}
        return pa.schema([*COLUMNS, probabilities, *embedding, *AFTER], metadata=metadata)


def origin(schema: pa.Schema) -> Origin:
    """The origin that a file's schema tells of. Raises KeyError or ValueError when it tells of none."""
    said = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return Origin(
        classes=said["classes"].split("\n"),
        dimensions=int(said["dimensions"]) if said["dimensions"] else None,
        **{name: said[name] for name in _TOLD},
    )
