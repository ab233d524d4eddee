"""The contract: a step's command line both ways, its help, its version and the bucket layout."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Literal

import menagerie_contract as contract
import pytest
from menagerie_contract import ContractError, Step

STEPS = sorted(contract.STEPS)
ODD = [
    "",
    " ",
    "two words",
    "-x",
    "--run=other",
    "--x--",
    "=",
    "a=b",
    "100%",
    "%(prog)s",
    "$HOME `id`",
    "new\nline",
    "Кот/🐈",
    "'\"",
]
CHOSEN = {"action": "list"}  # required, and not any text
BUCKETS = ("source", "to_predict", "models")  # which must be different ones


def example(step: type[Step], text: str = "text") -> Step:
    """A step with every field set to something else than its default."""
    hints = typing.get_type_hints(step)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(step):
        hint = hints[field.name]
        if field.name == "contract":
            continue
        if field.name == "run":
            values["run"] = "manual__2026-11-21"
            continue
        if field.name in BUCKETS:
            values[field.name] = f"{text} {field.name}"
            continue
        if field.name == "plan":
            values["plan"] = contract.plan(text, "r1", 77, "c0ff")
            continue
        if typing.get_origin(hint) is Literal:
            values[field.name] = next(choice for choice in typing.get_args(hint) if choice != field.default)
        elif typing.get_origin(hint) is tuple:
            values[field.name] = (f"{text} 1", text)
        elif hint is bool:
            values[field.name] = not field.default
        else:
            values[field.name] = {str: text, int: 77, float: max(field.metadata["least"], 0) + 0.0625}[hint]
    return step(**values)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", STEPS)
def test_a_step_comes_back_from_its_own_command_line(name: str, text: str) -> None:
    step = example(contract.STEPS[name], text)
    assert contract.parse(step.argv()) == step


@pytest.mark.parametrize("name", STEPS)
def test_what_is_not_said_has_its_default(name: str) -> None:
    step = contract.STEPS[name]
    required = [f.name for f in dataclasses.fields(step) if f.default is dataclasses.MISSING]
    values = {field: CHOSEN.get(field, field) for field in required}
    short = contract.parse([name, *(f"--{field.replace('_', '-')}={value}" for field, value in values.items())])
    for field in dataclasses.fields(step):
        if field.name not in required:
            assert getattr(short, field.name) == field.default


def test_a_command_line_is_plain_to_read() -> None:
    step = contract.Judge(run="r1", models="gs://m", result="gs://m/runs/r1/judge.json", candidate="v2")
    assert step.argv() == [
        "judge",
        "--contract=3",
        "--run=r1",
        "--models=gs://m",
        "--result=gs://m/runs/r1/judge.json",
        "--candidate=v2",
        "--champion=",
        "--tolerance=0.0",
        "--min-pictures=100",
        "--max-recall-loss=0.05",
        "--min-support=20",
        "--max-ece-loss=0.02",
        "--max-latency-loss=0.2",
        "--min-new-recall=0.5",
        "--seed=0",
    ]


@pytest.mark.parametrize("name", STEPS)
def test_another_version_of_the_contract_is_refused_naming_both(name: str) -> None:
    step = dataclasses.replace(example(contract.STEPS[name]), contract="27")
    with pytest.raises(ContractError, match=rf"contract {contract.VERSION}\b.*'27'.*one release"):
        contract.parse(step.argv())


@pytest.mark.parametrize("name", STEPS)
def test_each_missing_argument_is_named(name: str) -> None:
    for field in dataclasses.fields(contract.STEPS[name]):
        if field.default is dataclasses.MISSING:
            option = f"--{field.name.replace('_', '-')}"
            argv = [word for word in example(contract.STEPS[name]).argv() if not word.startswith(f"{option}=")]
            called = field.name if field.metadata["positional"] else option
            with pytest.raises(ContractError, match=rf"required: {called}\n.* {name} --help"):
                contract.parse(argv)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "STEP"),
        (["fly"], "'fly'"),
        ([*example(contract.Train).argv(), "--wings=2"], "--wings=2"),
        ([*example(contract.Train).argv(), "--epoch=2"], "--epoch=2"),  # abbreviations are no arguments
        ([*example(contract.Train).argv(), "--epochs=many"], "argument --epochs: invalid int value: 'many'"),
        ([*example(contract.Sort).argv(), "--label-rule=magic"], "argument --label-rule: invalid choice: 'magic'"),
        ([*example(contract.Sort).argv(), "stray"], "stray"),
        ([*example(contract.Plan).argv(), "--new-classes=ask"], "argument --new-classes: invalid choice: 'ask'"),
        ([*example(contract.Plan).argv(), "--range-size=0"], "--range-size is 0; it must be from 1 to 1000000"),
        ([*example(contract.Plan).argv(), f"--range-size={'9' * 20}"], "it must be from 1 to 1000000"),
        ([*example(contract.Train).argv(), f"--epochs={'9' * 5000}"], "argument --epochs: invalid int value: '999"),
        ([*example(contract.Train).argv(), f"--seed={2**32}"], "--seed is 4294967296; it must be from 0 to 4294967295"),
        ([*example(contract.Sort).argv(), "--max-megabytes=inf"], "--max-megabytes is inf; it must be from 0.001 to"),
        ([*example(contract.Sort).argv(), "--max-megapixels=nan"], "--max-megapixels is nan; it must be from 0.001 to"),
        ([*example(contract.Deploy).argv(), "--timeout=inf"], "--timeout is inf; it must be from 0 to 1000000000"),
        ([*example(contract.Sort).argv(), "--plan=garbage"], "--plan is 'garbage'; give it as plan's result does: "),
        (
            [*example(contract.Sort).argv(), "--plan=gs://m/runs/r/plan/a-c0ff.parquet"],
            "give it as plan's result does: ",
        ),
        ([*example(contract.Sort).argv(), "--plan=gs://m/r/00000-c0ff.parquet"], "give it as plan's result does: "),
        (
            [*example(contract.Plan).argv(), "--source=gs://a/", "--models=gs://a"],
            "--source and --models are both 'gs://a'",
        ),
        (
            [*example(contract.Sort).argv(), "--source=gs://a", "--models=gs://a"],
            "--source and --models are both 'gs://a'",
        ),
        ([*example(contract.Sort).argv(), "--to-predict=b", "--source=b"], "--source and --to-predict are both 'b'"),
        ([*example(contract.Sort).argv(), "--to-predict=b", "--models=b/"], "--to-predict and --models are both 'b'"),
        ([*example(contract.Train).argv(), "--epochs=0"], "--epochs is 0; it must be from 1 to 1000000000"),
        ([*example(contract.Sort).argv(), "--run=a/b"], "--run is 'a/b'; use letters, digits"),
        ([*example(contract.Sort).argv(), "--run=.."], "--run is '..'; use letters, digits"),
        ([*example(contract.Sort).argv(), "--max-bad=20"], "--max-bad is 20.0; it must be from 0 to 1"),
        ([*example(contract.Sort).argv(), "--holdout=nan"], "--holdout is nan; it must be from 0 to 0.9"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_culprit(argv: list[str], complaint: str) -> None:
    with pytest.raises(ContractError, match=re.escape(complaint)):
        contract.parse(argv)


@pytest.mark.parametrize(
    ("words", "csv"),
    [
        ([], False),
        (["--csv"], True),
        (["--csv=True"], True),  # as a template of Airflow's writes a Param
        (["--csv=False"], False),
        (["--csv", "--review=3"], True),
    ],
)
def test_a_switch_is_on_off_or_as_a_template_says(words: list[str], csv: bool) -> None:
    step = contract.parse([*contract.Evaluate(**EVALUATE).argv(), *words])
    assert isinstance(step, contract.Evaluate)
    assert step.csv is csv


def test_a_switch_is_neither_here_nor_there() -> None:
    with pytest.raises(ContractError, match="argument --csv: 'perhaps' is neither true nor false"):
        contract.parse([*contract.Evaluate(**EVALUATE).argv(), "--csv=perhaps"])


EVALUATE: dict[str, Any] = {
    "run": "r1",
    "models": "gs://m",
    "result": "gs://m/e.json",
    "model": "v1",
    "predicted": "gs://p",
}


def test_help_lists_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        contract.parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    for name, step in contract.STEPS.items():
        assert f"{name} {step.__doc__}" in text


@pytest.mark.parametrize("name", STEPS)
def test_help_lists_every_field_with_its_text_and_default(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        contract.parse([name, "--help"])
    text = solid(capsys.readouterr().out)
    assert ended.value.code == 0
    for field in dataclasses.fields(contract.STEPS[name]):
        assert f"--{field.name.replace('_', '-')}" in text
        assert solid(field.metadata["doc"]) in text
        if field.default not in (dataclasses.MISSING, "") and field.default is not False:
            shown = "true" if field.default is True else field.default
            assert solid(f"{field.metadata['doc']} (default: {shown}") in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("evaluate", "listed and copied for a person (default: 50; from 0 to 1000)"),
        ("evaluate", "retraining is called for (default: 500; at least 1)"),
        ("evaluate", "retraining is called for (default: 0.95; from 0 to 1)"),
        ("judge", "must be at least its negative (default: 0.0; from 0 to 1)"),
        ("train", "(default: 42; from 0 to 4294967295)"),
        ("train", "name of the pipeline run; everything the step writes stands under it --models"),
    ],
)
def test_help_tells_what_a_number_may_be(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        contract.parse([name, "--help"])
    assert solid(shown) in solid(capsys.readouterr().out)


@pytest.mark.parametrize("name", STEPS)
def test_an_unknown_argument_leads_to_its_steps_help(name: str) -> None:
    with pytest.raises(ContractError, match=rf"unrecognized arguments: --bogus\n.* model_service {name} --help$"):
        contract.parse([*example(contract.STEPS[name]).argv(), "--bogus"])


@pytest.mark.parametrize(
    ("words", "action", "version"),
    [
        (["list"], "list", ""),
        (["show", "v1"], "show", "v1"),
        (["--why", "it was better", "promote", "v1", "--force"], "promote", "v1"),
        (["show", "--version=--x"], "show", "--x"),
        (["--action=show", "--version=v1"], "show", "v1"),
    ],
)
def test_what_has_a_place_is_given_there_or_by_its_name(words: list[str], action: str, version: str) -> None:
    step = contract.parse(["registry", "--models=gs://m", *words])
    assert isinstance(step, contract.Registry)
    assert (step.action, step.version) == (action, version)


def test_what_is_given_by_its_place_and_by_its_name_is_refused() -> None:
    with pytest.raises(ContractError, match=r"version is given twice, 'v1' and 'v2': give one\n.* registry --help"):
        contract.parse(["registry", "show", "v1", "--version=v2", "--models=gs://m"])


def test_another_action_is_refused_with_those_there_are() -> None:
    with pytest.raises(ContractError, match=r"argument action: invalid choice: 'v1' \(choose from 'list', 'show', "):
        contract.parse(["registry", "v1", "--models=gs://m"])


def test_one_word_too_many_is_named() -> None:
    with pytest.raises(ContractError, match=r"unrecognized arguments: v2\n.* registry --help"):
        contract.parse(["registry", "show", "v1", "v2", "--models=gs://m"])


def solid(text: str) -> str:
    """Without any space: help breaks its lines at hyphens, too."""
    return "".join(text.split())


def test_it_needs_the_standard_library_only() -> None:
    plugins = Path(__file__).parents[1] / "plugins"
    code = f"import sys; sys.path.insert(0, {str(plugins)!r}); import menagerie_contract as c; print(len(c.STEPS))"
    bare = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert bare.stdout == f"{len(STEPS)}\n"


def test_everything_has_its_place() -> None:
    m, p = "gs://animals_models", "gs://animals_predicted"
    assert contract.batches(m) == "gs://animals_models/batches"
    assert contract.batch(m, "r1/00003-3fa9") == "gs://animals_models/batches/r1/00003-3fa9"
    assert contract.manifest(m, "r1/00003-3fa9") == "gs://animals_models/batches/r1/00003-3fa9/manifest.parquet"
    assert contract.shard(m, "r1/00003-3fa9", "train", 7) == "gs://animals_models/batches/r1/00003-3fa9/train-00007.tar"
    assert contract.plan(m, "r1", 3, "c0ff") == "gs://animals_models/runs/r1/plan/00003-c0ff.parquet"
    assert contract.ledger_head(m) == "gs://animals_models/ledger/head.json"
    assert contract.ledger(m, "c0ff") == "gs://animals_models/ledger/c0ff.parquet"
    assert contract.model(m, "v1") == "gs://animals_models/resnet34/v1"
    assert contract.champion(m) == "gs://animals_models/resnet34/champion.json"
    assert contract.verdict(m, "r1") == "gs://animals_models/runs/r1/verdict.json"
    assert contract.result(m, "r1", "sort") == "gs://animals_models/runs/r1/sort.json"
    assert contract.predictions_folder(p, "r1") == "gs://animals_predicted/r1/predictions"
    shard = contract.shard(m, "r1/00003-3fa9", "train", 7)
    assert (
        contract.predictions(p, "r1", shard) == "gs://animals_predicted/r1/predictions/00003-3fa9-train-00007.parquet"
    )
    assert contract.metrics(p, "r1") == "gs://animals_predicted/r1/metrics.json"
    assert contract.report(p, "r1") == "gs://animals_predicted/r1/report.html"
    assert contract.predictions_csv(p, "r1") == "gs://animals_predicted/r1/predictions.csv"
    assert contract.review(p, "r1") == "gs://animals_predicted/r1/review"
    assert contract.latest(p) == "gs://animals_predicted/latest.json"


def test_a_shard_says_whose_it_is_and_a_plan_which() -> None:
    assert contract.batch_of(contract.shard("file:///b/models", "r1/00003-3fa9", "holdout", 0)) == "r1/00003-3fa9"
    assert contract.plan_parts(contract.plan("file:///b/models", "r-1", 3, "c0ff")) == (3, "c0ff")


@pytest.mark.parametrize(
    ("run_id", "name"),
    [
        ("manual__2026-11-21T06:31:00+00:00", "manual__2026-11-21T06-31-00-00-00"),
        ("a/../b c", "a-..-b-c"),
        ("Кот\n", "----"),
        ("plain_1.2-3", "plain_1.2-3"),
    ],
)
def test_a_run_name_is_one_component_of_a_path(run_id: str, name: str) -> None:
    assert contract.run_name(run_id) == name


@pytest.mark.parametrize("asked", ["--status", "--rollback", "--teardown"])
def test_an_unknown_argument_of_an_operators_command_leads_to_that_commands_help(asked: str) -> None:
    with pytest.raises(ContractError, match=rf"--model=v1\n.* deploy {asked} --help"):
        contract.parse(["deploy", asked, "--model=v1"])
