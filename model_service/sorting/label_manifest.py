"""The label manifest: a CSV or JSONL in the source that tells which labels its objects have. Streamed, so any size will do."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from model_service.errors import StepError
from model_service.scratch import scratch
from model_service.sorting.labels import held_label
from model_service.storage import NotFound, Store

_LONGEST_LINE = 1 << 20  # bytes
_DELIMITERS = ",;\t"


def read(source: Store, name: str, wanted: Iterable[str]) -> dict[str, list[str]]:
    """The labels, as written, of those of the `wanted` names that the manifest has; each has one unless it says several.

    A CSV has a header with `label` and `name` or `uri`, cells between commas, semicolons or tabs; a JSONL has an object a
    line with these fields; a `uri` comes before a `name`. Blanks around a name of a CSV are passed over if it is not wanted
    with them. Rows without a label, and those on objects that are elsewhere or not wanted, are passed over.
    Raises StepError, with the line's number, and if there are rows for none of the names.
    """
    remedy = "set --label-manifest (the DAG's Param label_manifest) to the name of a CSV or JSONL in that bucket"
    if not name:
        raise StepError("the rule manifest needs a label manifest, and none is named", remedy=remedy)
    found: dict[str, list[str]] = {target: [] for target in wanted}
    with scratch("labels") as folder:
        path = folder / "labels"
        try:
            source.download(name, path)
        except NotFound as error:
            raise StepError(f"there is no label manifest {source.uri}/{name}", remedy=remedy) from error
        with path.open("rb") as file:
            example, matched = "", False
            for targets, label in _rows(file, f"{source.uri}/{name}"):
                example = example or targets[0]
                names = (target.removeprefix(f"{source.uri}/") for target in targets)
                labels = next((found[target] for target in names if target in found), None)
                matched |= labels is not None
                if labels is not None and label.strip() and label not in labels:
                    labels.append(label)
    if not matched:
        _refuse_strangers(f"{source.uri}/{name}", example, found)
    return {target: labels for target, labels in found.items() if labels}


def _refuse_strangers(what: str, example: str, wanted: Iterable[str]) -> None:
    """No row is about what is wanted: the names are written in another way. What was held needs no row."""
    pictures = [name for name in wanted if held_label(name) is None]
    if pictures:
        instead = f"its first row is about {example!r}" if example else "it has no rows"
        raise StepError(
            f"label manifest {what} names none of these {len(pictures):,} pictures: {instead}, and the first picture is "
            f"{pictures[0]!r}",
            remedy="name each picture as its object is named in the bucket, with its folders: "
            f"here {pictures[0]!r} (or give its uri)",
        )


def _rows(file: BinaryIO, what: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Name or URI, in the ways it may be meant, and label, of each row that has the former."""
    lines = _lines(file, what)
    first = next(lines, "")
    if not first:
        raise _bad(what, 1, "it has no header", "its first line names the columns: label, and name or uri")
    if first.lstrip().startswith(("{", "[")):
        return (((target,), label) for target, label in _json_rows(first, lines, what) if target)
    return (((target, target.strip()), label) for target, label in _csv_rows(first, lines, what) if target.strip())


def _lines(file: BinaryIO, what: str) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise _bad(what, number, "it is longer than a million bytes", "a row a line, as spreadsheets save a CSV")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _bad(what, number, "it is not UTF-8", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)") from error


def _csv_rows(header: str, lines: Iterator[str], what: str) -> Iterator[tuple[str, str]]:
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        columns = [cell.strip().casefold() for cell in next(csv.reader([header], delimiter=delimiter, strict=True))]
        targets = [columns.index(column) for column in ("uri", "name") if column in columns]
        if not targets:
            raise ValueError("neither name nor uri")
        label = columns.index("label")
    except (csv.Error, ValueError) as error:
        remedy = "its first line names the columns: label, and name or uri"
        raise _bad(what, 1, f"{header.strip()[:100]!r} is no header", remedy) from error
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cells[len(columns) :]):
                excess = f"it has {len(cells)} cells, and the header {len(columns)}"
                raise _bad(what, reader.line_num + 1, excess, f"put what has a {delimiter!r} in it between quotes")
            cells += [""] * (len(columns) - len(cells))
            yield next((cells[target] for target in targets if cells[target].strip()), ""), cells[label]
    except csv.Error as error:
        raise _bad(
            what, reader.line_num + 1, str(error), "close every quote, and double those within quotes"
        ) from error


def _json_rows(first: str, lines: Iterator[str], what: str) -> Iterator[tuple[str, str]]:
    number, line = 1, first
    while line:
        if line.strip():
            yield _json_row(line, number, what)
        number, line = number + 1, next(lines, "")


def _json_row(line: str, number: int, what: str) -> tuple[str, str]:
    remedy = 'write a line like {"name": "a.jpg", "label": "cat"} for each picture'
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad(what, number, f"it is no JSON: {error}", remedy) from error
    if not isinstance(row, dict) or not {"name", "uri"} & row.keys():
        raise _bad(what, number, "it is no object with a name or uri", remedy)
    target, label = row.get("uri") or row.get("name"), row.get("label")
    if not isinstance(target, str | None) or not isinstance(label, str | None):
        raise _bad(what, number, "name and label are no text", remedy)
    return target or "", label or ""


def _bad(what: str, line: int, why: str, remedy: str) -> StepError:
    return StepError(f"label manifest {what}, line {line}: {why}", remedy=remedy)
