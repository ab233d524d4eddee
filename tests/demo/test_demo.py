"""make demo's parts: what it is told, whose pictures it takes, and that it ends exactly what it started."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import psutil
import pytest
from rich.console import Console

from demo import batches, config, summary
from demo.airflow import Airflow
from demo.config import Config, DemoError
from demo.pictures import draw
from demo.processes import Processes, free_port

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
    " start_new_session=True); print(p.pid, flush=True); time.sleep(60)",
]


def configured(tmp_path: Path, **variables: str) -> Config:
    found = config.read(variables)
    return Config(**{**vars(found), "state": tmp_path / "state"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DEMO_SITE_PORT", "http"), ("DEMO_SITE_PORT", "70000"), ("DEMO_EPOCHS", "0"), ("DEMO_IMAGES", "/no/such/folder")],
)
def test_a_wrong_variable_is_named_with_its_value(variable: str, value: str) -> None:
    with pytest.raises(DemoError, match=rf"{variable}.*{value}"):
        config.read({variable: value})


def test_a_taken_port_is_reported_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=rf"port {port}.*make demo DEMO_SITE_PORT="):
            free_port(port, "DEMO_SITE_PORT")


def test_drawn_batches_are_labelled_by_name_and_never_collide(tmp_path: Path) -> None:
    demo = configured(tmp_path, DEMO_PICTURES="10")

    first = batches.drop(demo, 0)
    second = batches.drop(demo, 1)

    assert batches.label_rule(demo) == "filename"
    assert len(list((demo.buckets / "animals_all").iterdir())) == first + second


def test_own_pictures_in_folders_are_split_in_two_batches_that_make_up_the_whole(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for kind in ("cat", "dog"):
        (own / kind).mkdir(parents=True)
        for n in range(20):
            draw(kind, n, (64, 48)).save(own / kind / f"{n}.jpg")
    demo = configured(tmp_path, DEMO_IMAGES=str(own))

    first, second = batches.drop(demo, 0), batches.drop(demo, 1)

    assert batches.label_rule(demo) == "folder"
    assert (first > 0, second > 0, first + second) == (True, True, 40)
    assert len(list((demo.buckets / "animals_all" / "cat").iterdir())) == 20


def test_hidden_folders_are_no_classes_and_the_demos_own_folder_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / ".thumbnails").mkdir(parents=True)
    for n in range(20):
        draw("cat", n, (64, 48)).save(own / f"cat_{n}.jpg")
    draw("cat", 1, (64, 48)).save(own / ".thumbnails" / "x.jpg")
    demo = configured(tmp_path, DEMO_IMAGES=str(own))

    assert (batches.label_rule(demo), batches.drop(demo, 0) + batches.drop(demo, 1)) == ("filename", 20)
    with pytest.raises(DemoError, match="clears away"):
        config.read({"DEMO_IMAGES": str(config.DEMO / "buckets")})


def test_too_few_own_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()

    with pytest.raises(DemoError, match="holds 0 pictures"):
        batches.label_rule(configured(tmp_path, DEMO_IMAGES=str(tmp_path / "own")))


def test_the_table_tells_of_all_ranges_of_a_run(tmp_path: Path) -> None:
    demo = configured(tmp_path, DEMO_PICTURES="10")
    files = batches.drop(demo, 0)
    sorted_by_steps(demo, "manual__1", range_size=files // 2)
    snapshot = Path(contract.result(demo.bucket("animals_models"), "manual__1", "snapshot").removeprefix("file://"))
    snapshot.write_text('{"status": "ok", "outputs": {"tag": "dataset_v1"}}')
    shown = io.StringIO()

    summary.show(demo, Airflow(demo), [("manual__1", 7.0)], Console(file=shown, width=120))

    text = shown.getvalue()
    assert re.search(rf"│ pictures in +│ +{files} │", text)
    assert re.search(r"│ dataset +│ +dataset_v1 │", text)
    assert re.search(r"│ model +│ +– │", text)
    found = re.search(r"│ of use \(train \+ held out\) +│ +(\d+) \+ (\d+) │", text)
    assert found is not None
    assert int(found[1]) + int(found[2]) == 60
    assert "3 not-an-image │" in text  # two of the first range, one of the second


def sorted_by_steps(demo: Config, run: str, range_size: int) -> None:
    """Plan and sort what is in animals_all, as the pipeline does."""
    for name in ("animals_models", "animals_to_predict"):
        (demo.buckets / name).mkdir()
    models, source = demo.bucket("animals_models"), demo.bucket("animals_all")

    def to_its_end(step: contract.Batch) -> dict[str, Any]:
        subprocess.run([sys.executable, "-m", "model_service", *step.argv()], cwd=config.ROOT, check=True, timeout=60)
        found: dict[str, Any] = json.loads(Path(step.result.removeprefix("file://")).read_text())
        return found

    where = {"run": run, "models": models, "source": source}
    planned = to_its_end(contract.Plan(**where, result=contract.result(models, run, "plan"), range_size=range_size))
    for number, plan in enumerate(planned["outputs"]["plans"]):
        result = contract.result(models, run, f"sort-{number:05d}")
        to_its_end(contract.Sort(**where, result=result, plan=plan, to_predict=demo.bucket("animals_to_predict")))


def test_stop_ends_what_was_started_with_its_children_and_nothing_else(tmp_path: Path) -> None:
    bystander = subprocess.Popen(SLEEPS)
    processes = Processes(tmp_path)
    try:
        processes.start("stubborn", STUBBORN, dict(os.environ), tmp_path)
        child = _first_line(tmp_path / "logs" / "stubborn.log")

        assert processes.dead() is None
        assert Processes(tmp_path).stop() == ["stubborn"]

        assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE
        assert bystander.poll() is None
        assert processes.stop() == []
    finally:
        bystander.kill()
        bystander.wait()


def test_stop_ends_the_website_too_that_deploy_had_to_start_again(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    site = subprocess.Popen([*SLEEPS, f"--site=file://{tmp_path}/site/site.json"])
    try:
        (tmp_path / "site" / "site.pid").write_text(f"{site.pid}\n")

        assert Processes(tmp_path).stop() == ["website"]
        assert site.poll() is not None
    finally:
        site.kill()
        site.wait()


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen(SLEEPS)
    try:
        entry = f'[{{"name": "old", "pid": {bystander.pid}, "created": 1.0}}]'
        (tmp_path / "processes.json").write_text(entry)

        assert Processes(tmp_path).stop() == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_process_that_ended_by_itself_is_named_with_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("brief", [sys.executable, "-c", "print('no room')"], dict(os.environ), tmp_path)
    deadline = time.monotonic() + 20
    while processes.dead() is None and time.monotonic() < deadline:
        time.sleep(0.05)

    assert processes.dead() == "brief"
    assert processes.words("brief") == "no room"


def _first_line(path: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and "\n" in (text := path.read_text()):
            return text.splitlines()[0]
        time.sleep(0.05)
    raise AssertionError(f"nothing in {path}")
