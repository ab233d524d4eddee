"""`python -m model_service`: exit codes, and a result document that tells what went wrong and what to do."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import ledger
from model_service.__main__ import main
from model_service.storage import name_in, open_store
from tests.model_service.buckets import Buckets, local, make_buckets, read_json

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def command(*argv: str, python: tuple[str, ...] = ("-W", "error")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "model_service", *argv],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": "plugins"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def result_of(step: contract.Batch) -> dict[str, Any]:
    document: dict[str, Any] = read_json(step.result)
    return document


def test_a_sort_imports_no_pandas_though_pyarrow_looks_for_it(buckets: Buckets) -> None:
    buckets.put_squares(2)
    ran = command(*buckets.sort_step().argv(), python=("-X", "importtime"))
    assert ran.returncode == 0
    imported = {line.rsplit("|", 1)[1].strip() for line in ran.stderr.splitlines() if "|" in line}
    assert "pyarrow.parquet" in imported
    assert not any(name.startswith("pandas.") for name in imported)


def test_others_find_pandas_that_pyarrow_does_not() -> None:
    """torch looks for it, when a network is built to predict on a GPU, and cannot do with an error."""
    code = (
        "import sys; from model_service.__main__ import _hide_pandas_from_pyarrow as hide; hide();"
        "import importlib.util; assert importlib.util.find_spec('pandas') and 'pandas' not in sys.modules;"
        "import pyarrow, torchvision, pandas; pyarrow.array(['a'])"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": "plugins"}, check=True)


def test_done_is_0_and_the_result_says_what_was_done(buckets: Buckets) -> None:
    buckets.put_squares(2)
    step = buckets.sort_step()
    ran = command(*step.argv())
    assert (ran.returncode, ran.stderr) == (0, "")
    *_, last, counts = ran.stdout.splitlines()
    assert last == "sort: 6 new: 6 packed, 0 quarantined"
    result = result_of(step)
    assert json.loads(counts) == result["counts"]
    assert (result["step"], result["run"], result["status"]) == ("sort", "r1", "ok")
    assert result["contract"] == contract.VERSION
    assert contract.parse(result["argv"]) == step
    assert result["message"] == "6 new: 6 packed, 0 quarantined"
    assert result["outputs"]["batch"] == buckets.batch()
    assert 0 < result["seconds"] < 60
    assert result["started"].endswith("+00:00")


def test_done_already_is_0_and_nothing_is_done_again(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    buckets.put_squares(2)
    argv = buckets.sort_step().argv()
    assert main(argv) == 0
    before = buckets.tree(buckets.models)
    buckets.put_squares(2, first=5)
    with caplog.at_level("INFO"):
        assert main(argv) == 0
    assert buckets.tree(buckets.models) == before
    assert "sort: done already, by an earlier attempt (6 new: 6 packed, 0 quarantined)" in caplog.text


def test_a_step_that_fails_is_1_and_its_result_says_what_to_do(buckets: Buckets) -> None:
    step = buckets.sort_step()
    ran = command(*step.argv())
    assert ran.returncode == 1
    assert f"sort failed: no pictures at all in {buckets.source}\nremedy: put pictures there" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    result = result_of(step)
    assert result["status"] == "failed"
    assert result["error"] == {
        "class": "StepError",
        "message": f"no pictures at all in {buckets.source}",
        "remedy": "put pictures there, or set MENAGERIE_BUCKETS to where your buckets are",
        "retry": False,
    }


def test_after_a_failure_the_next_attempt_can_succeed(buckets: Buckets) -> None:
    step = buckets.sort_step()
    assert main(step.argv()) == 1
    buckets.put_squares(1)
    assert main(step.argv()) == 0
    assert result_of(step)["status"] == "ok"


def test_after_a_result_was_damaged_the_next_attempt_can_succeed(
    buckets: Buckets, caplog: pytest.LogCaptureFixture
) -> None:
    step = buckets.sort_step()
    buckets.put_squares(1)
    path = local(step.result)
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"step": "sort", "sta')
    assert main(step.argv()) == 0
    assert result_of(step)["status"] == "ok"
    assert f"{step.result} is damaged" in caplog.text


def test_a_plan_that_is_gone_ends_with_what_to_do(buckets: Buckets) -> None:
    step = buckets.sort_step(plan=contract.plan(buckets.models, "r1", 0, "c0ff"))
    assert main(step.argv()) == 1
    error = result_of(step)["error"]
    assert error["message"] == f"{step.plan}, the plan of this range, is gone"
    assert error["remedy"] == "start a new run: it plans anew"


def test_an_error_nobody_thought_of_is_1_with_its_class_and_may_be_tried_again(
    buckets: Buckets, capfd: pytest.CaptureFixture[str]
) -> None:
    store, data = open_store(buckets.models), b"no parquet"
    store.write_if_absent(name_in(store, contract.manifest(buckets.models, "r0/00000-0")), data)
    batch = ledger.Batch("r0/00000-0", "r0", hashlib.sha256(data).hexdigest(), 1, 0, {"cat": 1})
    ledger.swap_head(buckets.models, store, ledger.Head(), ledger.Head((batch,)))
    buckets.save_model("v1")
    step = contract.Judge(
        run="r1", models=buckets.models, result=contract.result(buckets.models, "r1", "judge"), candidate="v1"
    )
    assert main(step.argv()) == 1
    error = result_of(step)["error"]
    assert (error["class"], error["remedy"], error["retry"]) == ("ArrowInvalid", "", True)
    assert "Parquet" in error["message"]
    assert "Traceback" in capfd.readouterr().err


def test_another_batchs_damaged_manifest_is_named_with_a_remedy(buckets: Buckets) -> None:
    buckets.put_squares(1)
    buckets.sorted("r0")
    manifest = contract.manifest(buckets.models, buckets.batch("r0"))
    local(manifest).write_bytes(b"cut")
    buckets.save_model("v1")
    step = contract.Judge(
        run="r1", models=buckets.models, result=contract.result(buckets.models, "r1", "judge"), candidate="v1"
    )
    assert main(step.argv()) == 1
    error = result_of(step)["error"]
    assert error["message"] == f"{manifest} is not the manifest that was committed: its sha256 differs"
    assert "restore this one" in error["remedy"]


def test_a_missing_bucket_for_the_result_is_1_on_stderr(buckets: Buckets, capfd: pytest.CaptureFixture[str]) -> None:
    step = contract.Promote(run="r1", models=buckets.models, result="elsewhere/promote.json", candidate="v1")
    assert main(step.argv()) == 1
    said = capfd.readouterr().err
    assert "menagerie promote: 'elsewhere/promote.json' is not an object" in said
    assert "file:///" in said


def test_a_result_in_a_folder_that_is_not_there_is_refused_and_no_folder_made(
    buckets: Buckets, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    buckets.put_squares(1)
    for models, result in [
        (buckets.models, f"file://{tmp_path}/typo/runs/z/e.json"),
        (f"file://{tmp_path}/typo", f"file://{tmp_path}/typo/runs/z/e.json"),
    ]:
        assert main(dataclasses.replace(buckets.sort_step(), models=models, result=result).argv()) == 1
        said = capfd.readouterr().err
        assert f"menagerie sort: --result={result} would be in file://{tmp_path}/typo" in said
        assert "which does not exist" in said
        assert "--models" in said
        assert not (tmp_path / "typo").exists()
    beside = f"file://{tmp_path}/sort.json"
    assert main(dataclasses.replace(buckets.sort_step(), result=beside).argv()) == 0
    assert read_json(beside)["status"] == "ok"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: STEP"),
        (["fly"], "invalid choice: 'fly'"),
        (["judge", "--run=r1"], "required: --models, --result, --candidate"),
        (["judge", "--contract=27"], f"speaks contract {contract.VERSION}, the caller '27'"),
    ],
)
def test_a_wrong_command_line_is_2_and_says_where_help_is(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    message = capsys.readouterr().err
    assert message.startswith("menagerie: ")
    assert said in message
    assert "--help" in message


def test_the_command_line_from_outside() -> None:
    assert command("fly").returncode == 2
    ran = command("--help")
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in contract.STEPS)
