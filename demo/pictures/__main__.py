"""python -m demo.pictures: write a batch of sample pictures."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from demo.pictures.animals import KINDS
from demo.pictures.batch import NUMBERS_PER_SEED, write_batch
from demo.pictures.sheet import contact_sheet

_POOL_FROM = 400  # fewer pictures are drawn before further processes would have started


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.pictures",
        description="Write drawn sample pictures of animals into a folder, named <kind>_<n>.jpg: "
        f"{', '.join(KINDS)}. Unless told otherwise, a few broken files are put among them.",
        epilog="The same seed writes the same files; two seeds never write files of the same name.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to write; made if missing")
    parser.add_argument("--per-kind", type=int, default=50, metavar="N", help="pictures of each kind (default: 50)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which batch, from 0 (default: 0)")
    parser.add_argument("--no-broken", dest="broken", action="store_false", help="leave out the broken files")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="also write a contact sheet of examples")
    given = parser.parse_args()
    workers = (os.cpu_count() or 1) if given.per_kind * len(KINDS) >= _POOL_FROM else 1
    try:
        paths = write_batch(
            given.folder, per_kind=given.per_kind, seed=given.seed, broken=given.broken, workers=workers
        )
        if given.sheet:
            contact_sheet(KINDS, seed=given.seed * NUMBERS_PER_SEED + 1).save(given.sheet)
    except ValueError as error:
        parser.error(str(error))
    print(f"{len(paths)} files written to {given.folder}")


if __name__ == "__main__":
    main()
