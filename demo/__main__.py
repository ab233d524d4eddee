"""python -m demo up | stop: the whole main job on this machine, with no cloud account."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time

import menagerie_contract as contract
from rich.console import Console

from demo import batches, config, display, summary
from demo.airflow import Airflow
from demo.config import ROOT, Config, DemoError
from demo.processes import Processes, free_port

HELP = """
Variables (e.g. `make demo DEMO_IMAGES=~/pictures`):
  DEMO_IMAGES=DIR         your own pictures: a folder a class, or <label>_<n>.jpg files
  DEMO_PICTURES=60        drawn pictures a kind in the first batch (100 in the second, in the same proportion)
  DEMO_EPOCHS=8           passes over the pictures in training
  DEMO_IMAGE_SIZE=64      side of what the model sees, in pixels (224 is better and ten times slower)
  DEMO_AIRFLOW_PORT=8080  where Airflow listens, on 127.0.0.1
  DEMO_SITE_PORT=5000     where the website listens, on 127.0.0.1
Everything is kept under .menagerie/demo/; the demo before this one under .menagerie/demo.previous/.
"""
# So few held-out pictures (78 drawn ones) prove little: with the rules as they are, only a landslide would win.
LENIENT = {"min_pictures": 50, "tolerance": 0.05}
# Training and Airflow share few cores here: a thread that waits must sleep rather than spin.
CALM_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", choices=["up", "stop"], help="up: run it and leave it running; stop: end what up started"
    )
    command = parser.parse_args().command
    console = Console(soft_wrap=not sys.stdout.isatty())
    try:
        processes = Processes(config.DEMO)
        if command == "stop":
            ended = processes.stop()
            console.print(f"ended: {', '.join(ended)}" if ended else "nothing of the demo is running")
        else:
            _up(config.read(), processes, console)
    except KeyboardInterrupt:
        console.print("demo: interrupted; what it had started is ended")
        return 130
    except DemoError as error:
        console.print(f"[red]demo:[/] {error}", highlight=False)
        return 1
    return 0


def _up(configured: Config, processes: Processes, console: Console) -> None:
    start = time.monotonic()
    if ended := processes.stop():
        console.print(f"the demo before this one still ran; ended: {', '.join(ended)}")
    free_port(configured.airflow_port, "DEMO_AIRFLOW_PORT")
    free_port(configured.site_port, "DEMO_SITE_PORT")
    rule = batches.label_rule(configured)
    _clear(configured)
    os.environ.update(CALM_THREADS)
    try:
        _run(configured, processes, rule, console)
    except BaseException:  # Ctrl-C too: what was started does not outlive a demo that did not come up
        processes.stop()
        raise
    console.print(f"\nall of it in {time.monotonic() - start:.0f} s; Airflow and the website go on running")
    console.print(f"logs: {configured.state / 'logs'}")


def _run(configured: Config, processes: Processes, rule: str, console: Console) -> None:
    for bucket in ("animals_all", "animals_to_predict", "animals_predicted", "animals_models"):
        (configured.buckets / bucket).mkdir(parents=True)
    (configured.state / "site").mkdir()
    site = contract.Serve(
        models=configured.bucket("animals_models"),
        site=configured.site,
        port=configured.site_port,
        predicted=configured.bucket("animals_predicted"),
    )
    processes.start("website", [sys.executable, "-m", "model_service", *site.argv()], dict(os.environ), ROOT)
    console.print("starting Airflow (about 30 s) …")
    airflow = Airflow(configured)
    airflow.start(processes)
    files = batches.drop(configured, 0)
    airflow.wait(processes)
    console.print(f"Airflow: {configured.airflow_url} (user admin, password {airflow.password})", highlight=False)
    conf = {"epochs": configured.epochs, "image_size": configured.image_size, "label_rule": rule, "retrain": "always"}
    conf |= LENIENT
    runs = []
    for number, title in enumerate(
        ("first batch: no model yet, the first one is trained", "second batch: against a champion")
    ):
        if number:
            files = batches.drop(configured, number)
        console.print(f"\n[bold]Run {number + 1}[/], {files} files — {title}")
        run_id = airflow.trigger(conf)
        runs.append((run_id, display.follow(airflow, processes, run_id, f"run {number + 1}", console)))
    console.print()
    summary.show(configured, airflow, runs, console)


def _clear(configured: Config) -> None:
    """Each demo starts afresh; the one before is kept, once."""
    previous = configured.state.with_name("demo.previous")
    if configured.state.exists():
        shutil.rmtree(previous, ignore_errors=True)
        configured.state.rename(previous)


if __name__ == "__main__":
    sys.exit(main())
