"""A run's progress, step by step: a live table on a terminal, a line a change elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo.airflow import Airflow
from demo.config import DemoError
from demo.processes import Processes

# In the order of the road; the branches between them are Airflow's business.
STEPS = (*("plan", "sort", "predict", "evaluate", "snapshot", "train", "judge", "promote", "snapshot_model", "deploy"),)
ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
MARKS = {
    "success": "[green]✓ done[/]",
    "failed": "[red]✗ failed[/]",
    "skipped": "[dim]– skipped[/]",
    "running": "[yellow]● running[/]",
    "up_for_retry": "[yellow]↻ waits to retry[/]",
    "upstream_failed": "[red]✗ not reached[/]",
}


def follow(airflow: Airflow, processes: Processes, run_id: str, title: str, console: Console) -> float:
    """Show a run until it ends; returns its seconds. Raises DemoError with the failing task's words."""
    start = time.monotonic()
    told: dict[str, str] = {}
    with Live(console=console, refresh_per_second=4, auto_refresh=console.is_terminal) as live:
        while True:
            state, tasks = airflow.state(run_id), airflow.tasks(run_id)
            elapsed = time.monotonic() - start
            if console.is_terminal:
                live.update(_table(title, tasks, elapsed))
            else:
                _tell(console, tasks, told, elapsed)
            if state in ("success", "failed"):
                break
            if name := processes.dead():
                raise DemoError(f"{name} ended by itself:\n{processes.words(name)}")
            time.sleep(1)
    if state == "failed":
        failed = next((task for task in tasks if task["state"] == "failed"), None)
        words = airflow.log(run_id, failed) if failed else "no task failed"
        raise DemoError(f"the run {run_id} failed in {failed['task_id'] if failed else '?'}:\n{words}")
    return time.monotonic() - start


def _table(title: str, tasks: list[dict[str, Any]], elapsed: float) -> Table:
    table = Table(title=f"{title}  [dim]{elapsed:.0f} s[/]", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("step")
    table.add_column("state", min_width=16)
    table.add_column("seconds", justify="right")
    for step in STEPS:
        state, seconds = _state(step, tasks)
        table.add_row(step, MARKS.get(state, f"[dim]{state}[/]"), "" if seconds is None else f"{seconds:.0f}")
    return table


def _tell(console: Console, tasks: list[dict[str, Any]], told: dict[str, str], elapsed: float) -> None:
    for step in STEPS:
        state, seconds = _state(step, tasks)
        if state in ENDED | {"running", "up_for_retry"} and told.get(step) != state:
            told[step] = state
            took = f" ({seconds:.0f} s)" if state == "success" and seconds else ""
            console.print(f"  {elapsed:4.0f} s  {step:<14} {MARKS[state]}{took}")


def _state(step: str, tasks: list[dict[str, Any]]) -> tuple[str, float | None]:
    """The state of a step (of its mapped tasks together) and the seconds it has taken so far."""
    own = [task for task in tasks if task["task_id"] == step]
    states = Counter(task["state"] or "waits" for task in own)
    state = next((s for s in ("failed", "running", "up_for_retry") if states[s]), None)
    if state is None:
        state = own[0]["state"] if len(states) == 1 and own and own[0]["state"] else "waits"
    starts = [datetime.fromisoformat(task["start_date"]) for task in own if task["start_date"]]
    if not starts or state in ("skipped", "waits", "upstream_failed"):
        return state, None
    ends = [datetime.fromisoformat(task["end_date"]) for task in own if task["end_date"]]
    end = max(ends) if ends and state != "running" else datetime.now(tz=starts[0].tzinfo)
    return state, (end - min(starts)).total_seconds()
