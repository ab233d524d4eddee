"""The whole pipeline, four runs in a row: Airflow's own loop (`dag.test`), real steps, real training, a real website.

The second run's pictures are sorted in two ranges, and its training is killed in its middle; its retry is Airflow's. What a
run did is asked afterwards, test by test. In the second, any candidate wins; the fourth trains on the first dataset again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import menagerie_contract as contract
import psutil
import pyarrow.parquet as pq
import pytest

from tests.e2e.pipeline import Pipeline, Run, airflow
from tests.plugins.airflow_home import BUCKETS, REGISTRY, SITE, SITE_URL

# Airflow's API server runs in this process: what its libraries will drop one day is none of our warnings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PARAMS = {"epochs": 1, "image_size": 32, "weights": "none"}
LENIENT = {"tolerance": 1.0, "min_pictures": 1, "min_support": 1000, "max_ece_loss": 1.0, "max_latency_loss": 1000.0}
MODELS = BUCKETS / "animals_models"


@dataclass
class Story:
    """The four runs, in the order they were."""

    bootstrap: Run
    second: Run
    nothing_new: Run
    again: Run
    killed: int  # the pid of the training that was ended in the second run
    champions: list[str]  # after each run


class Killer(threading.Thread):
    """Ends the first training that has its pictures in memory, as the kernel does when there is none left."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed: int | None = None

    def run(self) -> None:
        end = time.monotonic() + 300
        while self.killed is None and time.monotonic() < end:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                    if "train" in child.cmdline() and any("views.uint8" in part.path for part in child.memory_maps()):
                        child.kill()
                        self.killed = child.pid
            time.sleep(0.05)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    try:
        with airflow():
            pipeline = Pipeline(BUCKETS)
            pipeline.arrive(1, tmp_path_factory.mktemp("first"))
            bootstrap, champions = pipeline.run(**PARAMS, retrain="always"), [pipeline.champion()]
            pipeline.arrive(2, tmp_path_factory.mktemp("second"))
            killer = Killer()
            killer.start()
            second = pipeline.run(**PARAMS, retrain="always", range_size=25, **LENIENT)
            killer.join(310)
            assert killer.killed is not None
            champions.append(pipeline.champion())
            nothing_new = pipeline.run(**PARAMS, retrain="when-needed")
            champions.append(pipeline.champion())
            # In one process, dag.test's runs keep the Params of the run before.
            again = pipeline.run(**PARAMS, retrain="when-needed", dataset_tag="dataset_v1", min_pictures=100)
            yield Story(bootstrap, second, nothing_new, again, killer.killed, [*champions, pipeline.champion()])
    finally:
        end_website()
        shutil.rmtree(BUCKETS, ignore_errors=True)


def end_website() -> None:
    pid_file = SITE.with_suffix(".pid")
    if pid_file.exists():
        website = psutil.Process(int(pid_file.read_text()))
        website.terminate()
        website.wait(20)


# The first run: no champion yet.


def test_the_first_run_trains_the_first_champion_and_brings_it_on_the_website(story: Story) -> None:
    run = story.bootstrap
    assert run.errors == []
    assert run.state == "success"
    assert run.states("success") == {
        *(
            "plan",
            "plan_sort",
            "sort",
            "sort_totals",
            "champion",
            "after_sort",
            "snapshot",
            "train",
            "judge",
            "after_judge",
            "promote",
            "after_promote",
            "snapshot_model",
            "deploy",
        )
    }
    assert run.states("skipped") == {
        "plan_predict",
        "predict",
        "evaluate",
        "after_evaluate",
        "approve",
        "keep_champion",
        "nothing_new",
    }
    assert story.champions[0] == run.result("train")["outputs"]["version"]
    assert "there is no champion" in run.result("judge")["message"]


def test_pictures_that_cannot_be_used_are_counted_and_put_aside(story: Story) -> None:
    counts = story.bootstrap.result("sort-00000")["counts"]
    assert counts["packed"] == 36
    assert sum(counts["quarantined"].values()) == counts["new"] - 36 > 0
    for reason, number in counts["quarantined"].items():
        notes = (BUCKETS / f"animals_all/_quarantine/{reason}").glob("*.json")
        names = {json.loads(note.read_text())["name"] for note in notes}
        assert len(names) >= number


# The second: two ranges, predict, evaluate, train in spite of a kill, judge.


def test_more_pictures_than_fit_a_range_are_sorted_by_a_task_for_each(story: Story) -> None:
    run = story.second
    plan = run.result("plan")
    assert (plan["counts"]["ranges"], len(plan["outputs"]["plans"])) == (2, 2)
    assert run.tasks["sort"] == [("success", 1)] * 2
    sorts = [run.result(f"sort-{number:05d}") for number in range(2)]
    assert sorts[0]["counts"]["new"] == 25
    assert sum(sort["counts"]["new"] for sort in sorts) == plan["counts"]["new"]
    committed = {batch["name"] for batch in batches() if batch["run"] == run.name}
    assert committed == {sort["outputs"]["batch"] for sort in sorts}  # in whatever order they ended


def test_what_comes_after_is_told_of_both_ranges(story: Story) -> None:
    totals = story.second.said["sort_totals"]
    assert totals["counts"]["packed"] == 36
    assert totals["counts"]["batches"] == len(batches()) == 3
    told = {contract.batch_of(shard) for shard in totals["outputs"]["shards"]}
    assert told == {batch["name"] for batch in batches() if batch["run"] == story.second.name}


def test_the_second_run_measures_the_champion_on_the_new_pictures(story: Story) -> None:
    run = story.second
    assert run.state == "success"
    assert run.tasks["predict"] == [("success", 1)] * 4  # a task a shard: train and holdout of each range
    assert run.said["champion"] == story.champions[0]
    assert run.result("evaluate")["counts"]["pictures"] == 36
    assert (BUCKETS / f"animals_predicted/{run.name}/report.html").stat().st_size > 1000


def test_the_candidate_is_judged_against_the_champion_on_what_both_never_saw(story: Story) -> None:
    verdict = story.second.result("judge")["counts"]
    assert verdict["champion"] == story.champions[0]
    assert verdict["candidate"] == story.second.result("train")["outputs"]["version"]
    assert verdict["pictures"] == sum(row["split"] == "holdout" for row in packed())
    assert 0 <= verdict["accuracy"]["champion"] <= 1
    assert verdict["promote"]
    assert story.champions[1] == verdict["candidate"]
    assert {"promote", "snapshot_model", "deploy"} <= story.second.states("success")


def test_a_training_killed_in_its_middle_says_so_and_its_retry_succeeds(story: Story) -> None:
    assert story.second.errors == ["train was killed by SIGKILL (out of memory?); a retry starts it again"]
    assert story.second.tasks["train"] == [("success", 2)]
    assert not psutil.pid_exists(story.killed)


def test_the_kill_has_doubled_nothing(story: Story) -> None:
    versions = sorted(path.parent.name for path in MODELS.glob("resnet34/*/model.json"))
    trained = (story.bootstrap, story.second, story.again)
    assert versions == sorted(run.result("train")["outputs"]["version"] for run in trained)
    assert sorted(path.name for path in (MODELS / "resnet34").iterdir() if path.is_dir()) == versions
    assert len({row["key"] for row in packed()}) == len(packed()) == 72


def batches() -> list[dict[str, Any]]:
    """Those that count, as the ledger's head names them."""
    found: list[dict[str, Any]] = json.loads((MODELS / "ledger/head.json").read_text())["batches"]
    return found


def packed() -> list[dict[str, Any]]:
    """The rows of all manifests whose picture is in a shard."""
    tables = [pq.read_table(MODELS / f"batches/{batch['name']}/manifest.parquet") for batch in batches()]
    return [row for table in tables for row in table.to_pylist() if row["status"] == "packed"]


def test_every_picture_that_arrived_is_in_the_ledger_once(story: Story) -> None:
    parts = json.loads((MODELS / "ledger/head.json").read_text())["parts"]
    ledgers = [pq.read_table(MODELS / f"ledger/{part['digest']}.parquet") for part in parts]
    names = [name for table in ledgers for name in table["name"].to_pylist()]
    arrived = [path.name for path in (BUCKETS / "animals_all").iterdir() if path.is_file()]
    assert sorted(names) == sorted(arrived)


# The third: nothing new.


def test_a_run_with_nothing_new_is_green_in_seconds_and_says_so(story: Story) -> None:
    run = story.nothing_new
    assert run.state == "success"
    assert run.states("success") == {"plan", "plan_sort", "sort_totals", "champion", "after_sort", "nothing_new"}
    assert run.tasks["sort"][0][0] == "skipped"  # no task for a range that is not there
    assert run.said["nothing_new"] == "nothing new arrived: the champion stays, nothing to do"
    assert run.result("plan")["message"] == f"nothing new in file://{BUCKETS}/animals_all"
    assert run.seconds < 30
    assert story.champions[2] == story.champions[1]


# The fourth: an old dataset, asked for by its tag.


def test_a_dataset_that_is_asked_for_is_trained_on_although_nothing_is_new(story: Story) -> None:
    run = story.again
    assert run.errors == []
    assert {"snapshot", "train", "judge", "keep_champion"} <= run.states("success")
    assert {"plan_predict", "predict", "evaluate", "promote"} <= run.states("skipped")
    assert card(run)["data"]["tag"] == "dataset_v1"
    assert "not enough evidence" in run.result("judge")["message"]
    assert story.champions[3] == story.champions[2]


# The data registry.


def card(run: Run) -> dict[str, Any]:
    """What the model of a run says of itself."""
    version = run.result("train")["outputs"]["version"]
    found: dict[str, Any] = json.loads((MODELS / f"resnet34/{version}/model.json").read_text())
    return found


def git(*words: str) -> str:
    command = ["git", "--git-dir", REGISTRY.removeprefix("file://"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def test_each_run_that_sorted_has_made_a_dataset_and_each_promotion_a_model(story: Story) -> None:
    assert git("tag").split() == ["dataset_v1", "dataset_v2", "model_v1", "model_v2"]
    told = {run.name: run.result("snapshot")["outputs"]["tag"] for run in (story.bootstrap, story.second, story.again)}
    assert list(told.values()) == ["dataset_v1", "dataset_v2", "dataset_v2"]
    assert [card(run)["data"]["tag"] for run in (story.bootstrap, story.second)] == ["dataset_v1", "dataset_v2"]


def test_a_killed_training_goes_on_with_the_dataset_that_it_began_with(story: Story) -> None:
    assert {batch["name"] for batch in card(story.second)["data"]["batches"]} == {batch["name"] for batch in batches()}


# The website.


def test_the_website_answers_with_the_champion(story: Story) -> None:
    picture = min((BUCKETS / "animals_all").glob("cat_1*.jpg"))
    answer = httpx.post(
        f"{SITE_URL}/predict", files={"file": ("cat.jpg", picture.read_bytes())}, timeout=30, trust_env=False
    )
    assert answer.status_code == 200
    said = answer.json()
    assert said["model"] == story.champions[-1]
    assert len(said["classes"]) == 6
    assert sum(found["probability"] for found in said["classes"]) == pytest.approx(1, abs=1e-3)


def test_the_website_shows_the_report_of_the_run_that_evaluated_last(story: Story) -> None:
    answer = httpx.get(f"{SITE_URL}/report", timeout=30, trust_env=False, follow_redirects=True)
    assert answer.status_code == 200
    assert str(answer.url) == f"{SITE_URL}/report/{story.second.name}"
    assert answer.content == (BUCKETS / "animals_predicted" / story.second.name / "report.html").read_bytes()


def test_the_website_outlives_the_runs(story: Story) -> None:
    assert os.getsid(int(SITE.with_suffix(".pid").read_text())) != os.getsid(0)
