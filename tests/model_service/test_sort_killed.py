"""sort killed by SIGKILL at each of its commits, and at some moments between: run again, the end is the same."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from pathlib import Path

import menagerie_contract as contract

from tests.model_service.buckets import make_buckets


def test_killed_at_any_point_and_run_again_everything_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    buckets = make_buckets(tmp_path)
    buckets.put_squares(2)
    buckets.put("dog_9.jpg", b"text")
    step = dataclasses.replace(
        buckets.sort_step(holdout=0.5),
        models=f"file://{tmp_path}/models-{{}}",
        to_predict=f"file://{tmp_path}/to-predict-{{}}",
        result=f"file://{tmp_path}/result-{{}}.json",
    )
    quarantine = str(buckets.arrivals / contract.QUARANTINE)
    moments = random.Random(20)
    job = {
        "argv": step.argv(),
        "places": [f"{tmp_path}/models-{{}}", f"{tmp_path}/to-predict-{{}}", quarantine],
        "clear": [quarantine],
        "delays": [moments.uniform(0.005, 0.2) for _ in range(4)],
    }
    script = Path(__file__).with_name("kill_points.py")
    ran = subprocess.run(
        [sys.executable, script], input=json.dumps(job), capture_output=True, text=True, check=True, timeout=120
    )
    reference, *cases = [json.loads(line) for line in ran.stdout.splitlines()]
    assert reference["ended"] == 0
    # plan, 6 copies, a picture in quarantine and its note, 2 shards, manifest, ledger; the result is the last commit
    commits = len(reference["contents"]) + 1
    assert commits == 14
    at_points = [case for case in cases if case["killed"].startswith("at")]
    assert len(at_points) == 2 * commits
    assert all(case["first"] == -9 for case in at_points)
    for case in cases:
        assert case["ended"] == 0, case["killed"]
        assert case["contents"] == reference["contents"], case["killed"]
