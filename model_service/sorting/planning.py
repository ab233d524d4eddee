"""What is new, as plans: files of names and generations, at most so many rows each, written before anything is sorted."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.parquet as pq

from model_service.errors import StepError
from model_service.ledger import Head, Parts, read_head, unsorted
from model_service.sorting import crew
from model_service.sorting.admission import Admission
from model_service.sorting.arrivals import Arrivals
from model_service.storage import Blob, Exists, NotFound, Store, name_in

_SCHEMA = pa.schema([("name", pa.string()), ("generation", pa.int64()), ("size", pa.int64())])


def begin(step: contract.Arriving, models: Store) -> Head:
    """The ledger's head. Raises StepError when it is gone although something was sorted before."""
    head = read_head(step.models, models)
    if head.generation == 0 and _is_there(models, name_in(models, contract.champion(step.models))):
        raise StepError(
            f"{contract.ledger_head(step.models)} is gone, though there is a model: everything would be sorted again",
            remedy="restore it (buckets keep earlier versions), or remove the models to begin anew",
        )
    return head


def admission(step: contract.Arriving, head: Head) -> Admission:
    return Admission(step.allow, step.new_classes, head.classes)


def new_objects(step: contract.Arriving, source: Store, head: Head, parts: Parts) -> tuple[Arrivals, Iterator[Blob]]:
    """The listing, which counts as it goes, and the objects of it that no ledger has."""
    skip = {step.label_manifest} if step.label_manifest else set()
    released = admission(step, head)
    listing = Arrivals(source, lambda label: released.of(label) == "take", skip)
    return listing, unsorted(listing, parts.entries(head.parts, ("name", "generation")))


def ranges(new: Iterator[Blob], size: int) -> Iterator[list[Blob]]:
    while some := list(itertools.islice(new, size)):
        yield some


def refuse_empty(step: contract.Arriving, listing: Arrivals) -> None:
    if listing.seen == 0:
        raise StepError(
            f"no pictures at all in {step.source}",
            remedy="put pictures there, or set MENAGERIE_BUCKETS to where your buckets are",
        )


def write(step: contract.Arriving, models: Store, index: int, blobs: Iterable[Blob]) -> str:
    """Write the plan of a range; returns its URI. Safe to repeat."""
    columns = zip(*((blob.name, blob.generation, blob.size) for blob in blobs), strict=True)
    out = io.BytesIO()
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    pq.write_table(pa.table(arrays, schema=_SCHEMA), out, compression="zstd")
    data = out.getvalue()
    uri = contract.plan(step.models, step.run, index, hashlib.sha256(data).hexdigest()[:12])
    with contextlib.suppress(Exists):
        models.write_if_absent(name_in(models, uri), data)
    return uri


def read(models: Store, uri: str) -> list[Blob]:
    try:
        data = models.read(name_in(models, uri))
    except NotFound as error:
        raise StepError(f"{uri}, the plan of this range, is gone", remedy="start a new run: it plans anew") from error
    if contract.plan_parts(uri)[1] != hashlib.sha256(data).hexdigest()[:12]:
        raise StepError(f"{uri} is damaged: its sha256 differs", remedy="start a new run: it plans anew")
    columns = pq.read_table(io.BytesIO(data), use_threads=False).to_pydict()
    return list(itertools.starmap(Blob, zip(columns["name"], columns["size"], columns["generation"], strict=True)))


def first(
    step: contract.Sort, source: Store, models: Store, parts: Parts, head: Head, size: int
) -> tuple[str | None, bool]:
    """The first range's plan, for who sorts without having planned, and whether there is more than that range holds: an
    earlier attempt's plan, or a new one of now; None when nothing is new.
    """
    folder = contract.plan(step.models, step.run, 0, "").removesuffix(".parquet")
    for blob in models.list(name_in(models, folder)):
        return f"{models.uri}/{blob.name}", False
    listing, new = new_objects(step, source, head, parts)
    blobs = list(itertools.islice(new, min(size, crew.MANY)))
    if len(blobs) == crew.MANY:
        crew.prepare(step)
        blobs += itertools.islice(new, size - len(blobs))
    if not blobs:
        refuse_empty(step, listing)
        return None, False
    return write(step, models, 0, blobs), next(new, None) is not None


def _is_there(store: Store, name: str) -> bool:
    try:
        store.stat(name)
    except NotFound:
        return False
    return True
