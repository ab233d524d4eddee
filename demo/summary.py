"""What came of it: the runs' own result documents as one table, and where to look."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import menagerie_contract as contract
from rich.console import Console
from rich.table import Table

from demo.airflow import Airflow
from demo.config import Config


def show(config: Config, airflow: Airflow, runs: list[tuple[str, float]], console: Console) -> None:
    """`runs`: id and seconds of each."""
    table = Table(title="What happened", title_justify="left")
    table.add_column("")
    for number in range(len(runs)):
        table.add_column(f"run {number + 1}", justify="right")
    columns = [_column(config, run_id, seconds) for run_id, seconds in runs]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    console.print(table)
    for run_id, _ in runs:
        verdict = _result(config, run_id, "judge")
        if verdict:
            console.print(f"Verdict: {verdict['message']}", highlight=False)
    console.print("\n[bold]Where to look[/]")
    places = {
        "Airflow": f"{config.airflow_url}  (user admin, password {airflow.password})",
        "Website": config.site_url,
        "Report": f"{config.site_url}/report/{contract.run_name(runs[-1][0])}",
        "Buckets": f"file://{config.buckets}",
        "Registry": f"git clone {config.registry}  (then, with DVC: dvc pull)",
        "To end it": "make demo-stop",
    }
    for name, place in places.items():
        console.print(f"  {name:<10}{place}", highlight=False, soft_wrap=True)


def _column(config: Config, run_id: str, seconds: float) -> dict[str, str]:
    new, splits, quarantined = _arrived(config, run_id)
    evaluated = _result(config, run_id, "evaluate").get("counts")
    verdict = _result(config, run_id, "judge").get("counts", {})
    accuracy = verdict.get("accuracy", {})
    reasons = "\n".join(f"{n} {reason}" for reason, n in sorted(quarantined.items()))
    return {
        "pictures in": str(new),
        "of use (train + held out)": " + ".join(str(splits[split]) for split in contract.SPLITS),
        "quarantined": reasons or "none",
        "error before, on new pictures": _error(evaluated),
        "champion, right on held-out": _percent(accuracy.get("champion")),
        "candidate, right on held-out": _percent(accuracy.get("candidate")),
        "held-out pictures": str(verdict.get("pictures", "–")),
        "dataset": _tag(config, run_id, "snapshot"),
        "model": _tag(config, run_id, "snapshot-model"),
        "verdict": ("promoted" if verdict["promote"] else "champion stays") if verdict else "–",
        "seconds": f"{seconds:.0f}",
    }


def _arrived(config: Config, run_id: str) -> tuple[int, Counter[str], Counter[str]]:
    """New pictures, those of use by split, those in quarantine by reason: over all sorts of a run."""
    new, splits, quarantined = 0, Counter[str](), Counter[str]()
    for plan in _result(config, run_id, "plan")["outputs"]["plans"]:
        index, _ = contract.plan_parts(plan)
        counts = _result(config, run_id, f"sort-{index:05d}")["counts"]
        new += counts["new"]
        splits.update(counts["splits"])
        quarantined.update(counts["quarantined"])
    return new, splits, quarantined


def _error(evaluated: dict[str, Any] | None) -> str:
    if not evaluated:
        return "no model yet"
    return _percent(None if evaluated["accuracy"] is None else 1 - evaluated["accuracy"])


def _tag(config: Config, run_id: str, step: str) -> str:
    """What the data registry calls what was trained on, or what was promoted."""
    return _result(config, run_id, step).get("outputs", {}).get("tag") or "–"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _result(config: Config, run_id: str, step: str) -> dict[str, Any]:
    """A step's result document; empty when the step did not run."""
    uri = contract.result(config.bucket("animals_models"), contract.run_name(run_id), step)
    try:
        document: dict[str, Any] = json.loads(Path(uri.removeprefix("file://")).read_text())
    except FileNotFoundError:
        return {}
    return document
