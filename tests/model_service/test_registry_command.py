"""`registry`: the models at hand in a table and one by one, and the champion moved by a person who says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import registry
from model_service.__main__ import main
from model_service.registry import pointer
from model_service.storage import Exists, name_in, open_store, write_once
from tests.model_service.buckets import local, read_json
from tests.model_service.verdicts import DAMAGED

FILES = {"model.onnx": b"onnx", "model.safetensors": bytes(1000)}


@pytest.fixture
def models(tmp_path: Path) -> str:
    """v1, v2 and v3, each promoted over the one before by its run, and v4, which nobody judged."""
    models = f"file://{tmp_path}"
    for n in (1, 2, 3, 4):
        save(models, n)
    for n in (1, 2, 3):
        judged(models, n, f"v{n - 1}" if n > 1 else None)
        champion(models, f"v{n}", f"r{n}")
    return models


def save(models: str, n: int, **more: Any) -> dict[str, Any]:
    described = {
        "architecture": "resnet34",
        "classes": ["cat", "dog"],
        "preprocessing": {"version": "1", "size": 32, "mean": [0.5] * 3, "std": [0.2] * 3},
        "data": {"pictures": 100 * n, "tag": f"dataset_v{n}", "shards": {}},
        "metrics": {"accuracy": 0.9},
        "run": f"r{n}",
        "training": {"epochs": 3},
        "created": f"2026-11-0{n}T10:00:00+00:00",
        "parent": f"v{n - 1}" if n > 1 else None,
    }
    return registry.save(models, f"v{n}", FILES, described | more)


def judged(models: str, n: int, over: str | None, promoted: bool = True) -> None:
    verdict = {
        "promote": promoted,
        "reason": f"v{n} is {'better' if promoted else 'worse'}",
        "candidate": f"v{n}",
        "champion": over,
        "pictures": 80,
        "overall": {"candidate": 0.8 + n / 100},
        "difference": {"value": 0.025, "low": 0.01, "high": 0.04} if over else None,
    }
    store = open_store(models)
    write_once(store, name_in(store, contract.verdict(models, f"r{n}")), json.dumps(verdict).encode())


def champion(models: str, version: str, run: str) -> None:
    now, seen = registry.champion(models)
    registry.install(models, registry.following(now, registry.card(models, version), run=run, verdict="better"), seen)


def now(models: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(contract.champion(models))
    return found


def said(capsys: pytest.CaptureFixture[str], models: str, *words: str) -> str:
    assert main(["registry", *words, f"--models={models}"]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], models: str, *words: str) -> str:
    assert main(["registry", *words, f"--models={models}"]) == 1
    return capsys.readouterr().err


def test_list_tells_of_each_version_in_a_line_the_newest_first(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    local(f"{models}/resnet34/v5").mkdir()
    local(f"{models}/resnet34/v5/model.onnx").write_bytes(b"half")
    local(f"{models}/resnet34/v4/model.json").write_bytes(b"{")
    head, *rows, last = said(capsys, models, "list").splitlines()
    assert head.split() == ["VERSION", "CREATED", "PICTURES", "CLASSES", "VALIDATION", "HOLDOUT", "TAG"]
    cells = {words[0]: [words[0], *words[3:]] for words in map(str.split, rows)}
    assert cells.pop("v4") == ["v4", "–", "–", "–", "–", "?", "damaged:", "see", "show"]
    assert cells.pop("v5") == ["v5", "–", "–", "–", "–", "?", "unfinished"]
    assert list(cells.values()) == [
        ["v3", "300", "2", "90.0%", "83.0%", "?", "champion"],
        ["v2", "200", "2", "90.0%", "82.0%", "?", "previous"],
        ["v1", "100", "2", "90.0%", "81.0%", "?"],
    ]
    assert last == "tags are not known: name the data registry with --registry"


def test_list_without_a_data_registry_has_no_tags_to_ask_for(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not known" not in said(capsys, models, "list", "--registry=none")


def test_list_of_an_empty_bucket_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "run the pipeline" in said(capsys, f"file://{tmp_path}", "list")


def test_show_tells_what_is_known_of_a_version_and_verifies_its_hashes(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, models, "show", "v3", "--registry=none")
    facts = dict(line.split(maxsplit=1) for line in told.split("\n\n")[0].splitlines())
    assert facts["state"].startswith("champion since ")
    assert facts["network"] == "resnet34 at 32 px"
    assert facts["classes"] == "2: cat, dog"
    assert facts["data"] == "300 pictures of dataset_v3"
    assert told.count("83.0% of 80 pictures; +2.5 points beside v2 (95%: +1.0 to +4.0)") == 1
    assert facts["verdict"] == "v3 is better"
    assert facts["parents"] == "v2 ← v1"
    assert facts["tag"] == "none"
    files = told.split("\n\n")[1].split()
    assert files[:6] == ["FILE", "BYTES", "SHA256", "model.onnx", "4", registry.hashes(save(models, 3))["model.onnx"]]
    assert "NOT WHOLE" not in told


def test_show_of_a_damaged_version_shows_all_and_fails(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    local(f"{models}/resnet34/v3/model.onnx").write_bytes(b"0nnx")
    local(f"{models}/resnet34/v3/model.safetensors").unlink()
    assert main(["registry", "show", "v3", f"--models={models}"]) == 1
    told = capsys.readouterr()
    assert told.out.count("NOT WHOLE") == 2
    assert "its sha256 differs; model v3 is not whole: " in told.err
    assert "Restore" in told.err


def test_parents_end_where_one_was_removed_and_never_go_round(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    local(f"{models}/resnet34/v1/model.json").unlink()
    assert "v2 ← v1 (removed)" in said(capsys, models, "show", "v3")
    card = read_json(f"{models}/resnet34/v2/model.json")
    local(f"{models}/resnet34/v2/model.json").write_text(json.dumps(card | {"parent": "v3"}))
    assert "parents     v2\n" in said(capsys, models, "show", "v3")


def test_promoted_by_hand_the_pointer_keeps_who_and_why(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, models, "promote", "v4", "--force", "--why=v3 does not know foxes")
    assert "v4 is the champion now (before: v3)" in told
    assert "clear `deploy` in run r4" in told
    assert f"python -m model_service deploy --run=by-hand --models={models}" in told
    found = now(models)
    assert (found["version"], found["previous"], found["earlier"]) == ("v4", "v3", ["v3", "v2", "v1"])
    assert found["sha256"] == registry.hashes(registry.card(models, "v4"))
    assert found["by"]["why"] == "v3 does not know foxes"
    assert "@" in found["by"]["who"]
    assert found["verdict"] == f"promoted by {found['by']['who']}: v3 does not know foxes"
    assert found["run"] is None
    before = found
    assert "already: nothing was changed" in said(capsys, models, "promote", "v4", "--force", "--why=again")
    assert now(models) == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["promote"], "no version is named"),
        (["promote", "v4", "--force"], "no reason is given"),
        (["promote", "v4", "--force", "--why= "], "no reason is given"),
        (["promote", "v4", "--why=x"], "v4 is not promoted: it has no verdict\nAdd --force"),
        (["promote", "v1", "--why=x"], "it was judged against none, and the champion is v3 now"),
        (["promote", "v9", "--force", "--why=x"], "no model v9"),
        (["show"], "no version is named"),
        (["show", "v9"], "no model v9"),
        (["rollback", "v4"], "v4 was not champion before v3; before v3 there were v2, v1"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    models: str, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = now(models)
    assert complaint in refused(capsys, models, *words)
    assert now(models) == before


def test_a_verdict_that_promotes_over_todays_champion_needs_no_force(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(models, 4, "v3")
    assert "v4 is the champion now" in said(capsys, models, "promote", "v4", "--why=the pipeline was stopped")


def test_a_verdict_that_promote_made_over_todays_champion_counts(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(models, 4, "v2")
    verdict = read_json(contract.verdict(models, "r4")) | {"champion": "v3"}
    local(contract.verdict_anew(models, "r4", "v3")).write_text(json.dumps(verdict))
    assert "v4 is the champion now" in said(capsys, models, "promote", "v4", "--why=promote was killed")


def test_a_card_of_an_earlier_release_has_its_run_among_the_arguments(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card = read_json(f"{models}/resnet34/v3/model.json")
    del card["run"]
    local(f"{models}/resnet34/v3/model.json").write_text(json.dumps(card | {"training": {"run": "r3"}}))
    assert "v3 is better" in said(capsys, models, "show", "v3")


def test_a_verdict_against_it_needs_force(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    judged(models, 4, "v3", promoted=False)
    assert "its verdict says v4 is worse" in refused(capsys, models, "promote", "v4", "--why=x")
    assert "v4 is the champion now" in said(capsys, models, "promote", "v4", "--why=x", "--force")


@pytest.mark.parametrize("words", [["promote", "v2", "--force", "--why=x"], ["rollback"]])
def test_nothing_damaged_becomes_champion_not_even_by_force(
    models: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    local(f"{models}/resnet34/v2/model.safetensors").write_bytes(bytes(999) + b"1")
    before = now(models)
    assert "model.safetensors is not the file its card describes" in refused(capsys, models, *words)
    assert now(models) == before


def test_rolled_back_the_champion_before_is_champion_and_the_other_is_withdrawn(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, models, "rollback", "--why=it sees dogs everywhere")
    assert "v2 is the champion again; v3 is withdrawn: it sees dogs everywhere" in told
    assert "rolled back once more, v1 would be" in told
    assert "clear `deploy` in run r2" in told
    found = now(models)
    assert (found["version"], found["previous"], found["earlier"], found["run"]) == ("v2", "v1", ["v1"], None)
    assert found["sha256"] == registry.hashes(registry.card(models, "v2"))
    assert found["by"]["why"] == "it sees dogs everywhere"
    why = {"version": "v3", "run": "registry rollback", "why": "it sees dogs everywhere"}
    assert registry.withdrawn(models) == why, "deploy refuses it"


def test_rolling_back_again_leads_further_back_and_never_forth(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, models, "rollback")
    assert "no champion before it is known" in said(capsys, models, "rollback")
    assert (now(models)["version"], now(models)["previous"]) == ("v1", None)
    assert "there was no champion before v1\nAny version can be made champion: registry promote" in refused(
        capsys, models, "rollback"
    )
    assert "v3 is the champion now" in said(capsys, models, "promote", "v3", "--force", "--why=it was the best")
    assert now(models)["earlier"] == ["v1"]
    assert registry.withdrawn(models) is None


def test_rolled_back_to_a_version_by_name_it_may_be_repeated(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, models, "rollback", "v1")
    before = now(models)
    assert (before["version"], before["previous"]) == ("v1", None)
    assert "v1 is the champion already: nothing was changed" in said(capsys, models, "rollback", "v1")
    assert now(models) == before


def test_without_a_champion_there_is_nothing_to_roll_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no champion" in refused(capsys, f"file://{tmp_path}", "rollback")


@pytest.mark.parametrize("words", [["promote", "v4", "--force", "--why=x"], ["rollback"]])
def test_a_run_that_promotes_in_that_moment_is_not_overwritten(
    models: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(models, 5)
    move = pointer.move_champion

    def another_run_is_quicker(where: str, moved: dict[str, Any], generation: int) -> int:
        monkeypatch.setattr(pointer, "move_champion", move)
        champion(models, "v5", "r5")
        return move(where, moved, generation)

    monkeypatch.setattr(pointer, "move_champion", another_run_is_quicker)
    assert "the champion moved meanwhile, to v5: nothing was changed" in refused(capsys, models, *words)
    assert now(models)["version"] == "v5"


def test_the_pointer_stays_readable_by_the_coordinator(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    """plugins/menagerie/documents.py wants these; decisions.champion_before takes `previous` for a run's own promotion."""
    for words in (["promote", "v4", "--force", "--why=x"], ["rollback"]):
        said(capsys, models, *words)
        assert {"version", "previous", "run"} <= now(models).keys()
        assert now(models)["run"] is None


def test_a_pointer_that_is_damaged_is_not_overwritten(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    local(contract.champion(models)).write_text("{")
    for words in (["promote", "v4", "--force", "--why=x"], ["rollback"], ["gc", "--registry=none", "--yes"]):
        assert "champion.json is damaged" in refused(capsys, models, *words)
    with pytest.raises(Exists):
        open_store(models).write_if_absent("resnet34/champion.json", b"")


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_verdict_is_named_and_makes_nobody_champion(
    models: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = contract.verdict(models, "r4")
    local(uri).parent.mkdir()
    local(uri).write_text(text)
    before = now(models)
    told = refused(capsys, models, "promote", "v4", "--why=x")
    assert f"{uri} is damaged, no verdict: " in told
    assert "under another --run" in told
    assert now(models) == before
    listed = said(capsys, models, "list").splitlines()
    (row,) = (line for line in listed if line.startswith("v4"))
    assert row.split()[-2:] == ["damaged", "?"]
    assert any(line.startswith(f"{uri} is damaged, no verdict: ") and "another --run" in line for line in listed)
    assert f"{uri} is damaged, no verdict: " in said(capsys, models, "show", "v4")
    assert "v4 is the champion now" in said(capsys, models, "promote", "v4", "--why=x", "--force")


def test_a_damaged_int8_variant_is_told_by_show_with_all_the_rest(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    local(f"{contract.model(models, 'v4')}/int8.json").write_text("{")
    told = said(capsys, models, "show", "v4").splitlines()
    (line,) = (line for line in told if line.startswith("int8"))
    assert "int8.json is damaged: " in line
    assert "judge the version once more" in line
    assert any(line.startswith("FILE") for line in told)


@pytest.mark.parametrize("part", [{"withdrawn": "x"}, {"earlier": "abc"}, {"earlier": [5]}, {"previous": 7}])
def test_a_pointer_that_is_damaged_in_its_parts_is_told_by_every_command(
    models: str, part: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    local(contract.champion(models)).write_text(json.dumps({"version": "v3"} | part))
    for words in (["list"], ["show", "v3"], ["rollback"], ["promote", "v4", "--force", "--why=x"], ["gc"]):
        told = refused(capsys, models, *words)
        assert f"{contract.champion(models)} is damaged: {next(iter(part))!r}" in told
        assert "Restore an older generation" in told


def test_list_says_when_the_champion_is_not_there(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    local(contract.champion(models)).write_text('{"version": "nope"}')
    *_, line, _ = said(capsys, models, "list").splitlines()
    assert line.startswith(
        f"THE CHAMPION IS NOT THERE: {contract.champion(models)} names nope, and {models}/resnet34/nope"
    )
    assert "registry promote VERSION --force" in line
    local(contract.champion(models)).write_text('{"version": "v3"}')
    assert "NOT THERE" not in said(capsys, models, "list")


def test_list_and_show_say_when_there_is_no_data_registry_where_it_is_said_to_be(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = "there is no data registry at file:///nowhere/registry.git"
    assert complaint in said(capsys, models, "list", "--registry=file:///nowhere/registry.git")
    assert complaint in said(capsys, models, "show", "v3", "--registry=file:///nowhere/registry.git")


@pytest.mark.parametrize("words", [["list"], ["show", "v3"]])
def test_what_is_known_is_shown_when_the_data_registry_cannot_be_asked(
    models: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registry", *words, f"--models={models}", f"--registry={models}"]) == 1
    told = capsys.readouterr()
    assert "83.0%" in told.out
    assert "tags are not known: the data registry did not tell them" in told.out
    assert told.err.startswith("menagerie registry: ")


@pytest.mark.parametrize("words", [["list"], ["show", "v3"]])
def test_into_a_pipe_that_is_closed_it_stops_without_a_word(models: str, words: list[str]) -> None:
    """As with `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "model_service", "registry", *words, f"--models={models}"]
    with os.fdopen(writer, "wb") as pipe:
        ended = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == 141, "as programs that SIGPIPE ends, to a shell"
    assert not [line for line in ended.stderr.splitlines() if "hashes as its card says" not in line]
