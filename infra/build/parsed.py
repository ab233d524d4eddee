"""Whether Airflow has parsed what was synced: 0 yes, 75 not yet, 1 it cannot be loaded. For parsed.sh; no packages."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from typing import Any

OURS = ("animals_", "menagerie")
NOT_YET = 75  # EX_TEMPFAIL of sysexits.h


class Unreadable(Exception):
    """What Airflow printed is not the JSON it was asked for."""


def rows(printed: str) -> list[dict[str, Any]]:
    """The JSON list in what a command of Airflow's printed, which may have warnings around it. Raises Unreadable."""
    for line in printed.splitlines():
        if line.startswith("["):
            try:
                found: list[dict[str, Any]] = json.loads(line)
            except ValueError:
                continue
            return found
    raise Unreadable(printed.strip() or "(nothing)")


def import_errors(printed: str, status: int) -> list[str]:
    """Import errors of our files. The command ends with 1 when there are any, whosever they are. Raises Unreadable."""
    if status not in (0, 1):
        raise Unreadable(f"exit status {status}: {printed.strip()}")
    ours = [row for row in rows(printed) if _ours(str(row["filepath"]))]
    return [f"{row['filepath']}:\n{row['error']}" for row in ours]


def waiting_for(dags: list[str], fresh: float) -> list[str]:
    """What is still missing: DAGs that were last parsed before `fresh`, in seconds since 1970."""
    missing = []
    for printed in dags:
        try:
            row = rows(printed)[0]
        except (Unreadable, IndexError) as nothing:
            missing.append(f"a DAG is not there: {nothing}")
            continue
        parsed = datetime.fromisoformat(row["last_parsed_time"]) if row["last_parsed_time"] else None
        if parsed is None or parsed.timestamp() < fresh:
            missing.append(f"{row['dag_id']} was last parsed at {parsed}")
        elif str(row["is_stale"]) == "True":
            missing.append(f"{row['dag_id']} is stale")
    return missing


def _ours(path: str) -> bool:
    return any(part.startswith(OURS) for part in path.split("/"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", type=float, required=True)
    parser.add_argument("--status", type=int, required=True)
    parser.add_argument("--errors", required=True)
    parser.add_argument("--dags", nargs="+", required=True)
    given = parser.parse_args()
    try:
        errors = import_errors(given.errors, given.status)
    except Unreadable as why:
        print(f"Airflow does not say whether there are import errors: {why}")
        return NOT_YET
    missing = waiting_for(given.dags, given.fresh)
    if errors and time.time() >= given.fresh:  # before, they may be of what was there before the sync
        print("import errors:", *errors, sep="\n", file=sys.stderr)
        return 1
    for line in missing or errors:
        print(line)
    if missing or errors:
        return NOT_YET
    print(f"Airflow has parsed all {len(given.dags)} DAGs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
