"""docs/composer.md: gcloud, terraform, kubectl and Airflow understand its commands, and what it names is there."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import menagerie_contract as contract
import pytest

from tests.infra.commands import PARSE_WITH_AIRFLOW, SDK, Page, executed, gcloud_problem, help_of
from tests.infra.configuration import INFRA, ROOT, items, parsed, variables

TEXT = (ROOT / "docs" / "composer.md").read_text()
AIRFLOW = ROOT / ".menagerie" / "venv" / "airflow" / "bin" / "python"
NAMESPACE = (
    "value-of-namespace"  # as the recorder of `terraform output` has it: the page writes no namespace of its own
)
Calls = list[list[str]]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    return executed(Page(TEXT), tmp_path_factory.mktemp("programs"))


def of(calls: Calls, program: str) -> Calls:
    found = [words for name, *words in calls if name == program]
    assert found
    return found


def airflow_commands(calls: Calls) -> Calls:
    """What `gcloud composer environments run` hands to Airflow."""
    runs = [words for words in of(calls, "gcloud") if words[:3] == ["composer", "environments", "run"]]
    found = []
    for _, _, _, *words in runs:
        own, _, handed = (list(part) for part in _split(words))
        found.append([word for word in own[1:] if not word.startswith("--")] + handed)
    return [words for words in found if words]


def _split(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]


def option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


@pytest.mark.skipif(
    not SDK.is_dir(), reason=f"no Google Cloud SDK at {SDK}: gcloud's commands and flags are not checked"
)
def test_gcloud_knows_every_command_and_flag(calls: Calls) -> None:
    commands = of(calls, "gcloud")

    assert len(commands) > 30
    assert [problem for words in commands if (problem := gcloud_problem(words))] == []


@pytest.mark.skipif(not SDK.is_dir(), reason=f"no Google Cloud SDK at {SDK}")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["composer", "environments", "fly"], "no command"),
        (["composer", "environments"], "no command"),
        (["composer", "environments", "run", "e", "--place=l"], "no flag --place"),
        (["builds", "submit", "--config", "x"], "value with '='"),
    ],
)
def test_what_gcloud_does_not_know_is_noticed(words: list[str], problem: str) -> None:
    assert problem in str(gcloud_problem(words))


@pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not on PATH")
def test_terraform_knows_every_command_and_option(calls: Calls) -> None:
    for command, *words in ([word for word in call if word != "-chdir=infra"] for call in of(calls, "terraform")):
        known = help_of("terraform", command, "-help") + help_of(
            "terraform", "plan", "-help"
        )  # apply, destroy take plan's
        for flag in (word.split("=")[0] for word in words if word.startswith("-")):
            assert flag in known, f"terraform {command} {flag}"


def test_terraform_is_asked_for_outputs_that_there_are(calls: Calls) -> None:
    there = {name for one in parsed(INFRA / "outputs.tf")["output"] for name, _ in items(one)}
    asked = {words[-1] for words in of(calls, "terraform") if words[1:2] == ["output"]}

    assert {"cluster", "composer", "buckets", "kubernetes", "namespace"} <= asked <= there


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_kubectl_knows_every_command_and_flag(calls: Calls) -> None:
    for words in of(calls, "kubectl"):
        command = words[: {"auth": 2, "create": 3}.get(words[0], 1)]  # create secret generic
        known = help_of("kubectl", *command, "--help") + help_of("kubectl", "options")
        own, _, _ = _split(words[len(command) :])
        for flag in (word.split("=")[0] for word in own if word.startswith("-") and word != "-"):
            assert re.search(rf"(^|\s){flag}\b", known), f"kubectl {' '.join(command)} {flag}"


def test_everything_is_done_in_the_namespace_that_terraform_was_given(calls: Calls) -> None:
    given = {word.partition("=")[2] for words in of(calls, "kubectl") for word in words if "--namespace" in word}

    assert given == {NAMESPACE}
    everywhere = ("apply", "auth")  # the document names the namespace; the question has it
    assert all(
        any(word.startswith("--namespace=") for word in words)
        for words in of(calls, "kubectl")
        if words[0] not in everywhere
    )
    assert {
        step.namespace for words in operated(calls) if hasattr(step := contract.parse(_split(words)[2]), "namespace")
    } == {NAMESPACE}


def test_what_infra_applies_has_a_field_manager_of_its_own(calls: Calls) -> None:
    """Server-side apply by a manager takes away what the manager set before and no longer sets."""
    applied = [words for words in of(calls, "kubectl") if words[0] == "apply" and "-f" in words]

    assert len(applied) >= 3  # in section 3 and in remedies
    assert {tuple(words) for words in applied} == {
        ("apply", "--server-side", "--field-manager=menagerie-infra", "-f", "-")
    }


def test_a_dag_is_unpaused_before_it_is_triggered(calls: Calls) -> None:
    """DAGs are paused when they are made: a run of a paused one waits for ever."""
    awake: set[str] = set()
    for words in airflow_commands(calls):
        if words[:2] == ["dags", "unpause"]:
            awake.add(words[2])
        if words[:2] == ["dags", "trigger"]:
            assert words[2] in awake, f"{words[2]} is triggered while it is paused"
    assert awake == {path.stem for path in (ROOT / "dags").glob("*.py")}


def test_a_submitted_build_is_told_the_commit_whose_history_it_does_not_get(calls: Calls) -> None:
    (submitted,) = (words for words in of(calls, "gcloud") if words[:2] == ["builds", "submit"])

    (substitutions,) = (word for word in submitted if word.startswith("--substitutions="))
    assert substitutions.endswith(f",COMMIT_SHA={'0' * 40},SHORT_SHA={'0' * 7}")
    assert ["archive", "HEAD", "dags", "plugins"] in of(calls, "git")


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not on PATH")
@pytest.mark.skipif(
    not (ROOT / ".gitignore").is_file(), reason="no checkout: gcloud would look through every environment"
)
def test_a_submitted_build_gets_the_files_of_its_steps_and_no_history() -> None:
    listed = subprocess.run(
        ["gcloud", "meta", "list-files-for-upload", ROOT], capture_output=True, text=True, check=True, timeout=120
    )
    uploaded = set(listed.stdout.splitlines())

    locks = {str(path.relative_to(ROOT)) for path in (ROOT / "locks").iterdir()}
    scripts = {f"infra/build/{path.name}" for path in (ROOT / "infra" / "build").glob("*.sh")}
    assert {"cloudbuild.yaml", "Makefile", "pyproject.toml", ".dockerignore"} | locks | scripts <= uploaded
    assert not [path for path in uploaded if path.startswith(".git/")]  # so no test may ask git


ROLES = {  # what the page does after the owner's sections, and the role that a person needs for it
    "composer environments run": "roles/composer.user",
    "builds submit": "roles/iam.serviceAccountUser",
    "builds list": "roles/cloudbuild.builds.editor",
    "secrets versions": "roles/secretmanager.secretVersionAdder",
    "logging read": "roles/logging.viewer",
    "artifacts docker images": "roles/artifactregistry.reader",
    "storage cp": "roles/storage.objectUser",
}


def test_the_roles_that_an_operator_needs_are_listed(calls: Calls) -> None:
    needs = TEXT.split("You need:")[1].split("## ")[0]
    done = [" ".join(words) for words in of(calls, "gcloud")]

    for command, role in ROLES.items():
        assert any(words.startswith(command) for words in done), command
        assert f"`{role}`" in needs


@pytest.mark.skipif(not AIRFLOW.is_file(), reason="no Airflow environment: make env")
def test_airflow_understands_what_gcloud_hands_to_it(calls: Calls, tmp_path: Path) -> None:
    commands = [json.dumps(words) for words in airflow_commands(calls)]
    assert len(commands) > 8

    done = subprocess.run(
        [str(AIRFLOW), "-c", PARSE_WITH_AIRFLOW, *commands],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr[-2000:]


MAKES_A_PARAM = ("Param", "argument", "_asked", "starting_weights")


def params(dag: str) -> set[str]:
    """The Params of a DAG: the keys of dictionaries whose values are made as a Param, in its file or in those of Params."""
    texts = [(ROOT / "dags" / f"{dag}.py").read_text()]
    if "from menagerie.params import" in texts[0]:
        texts = [path.read_text() for path in (ROOT / "plugins/menagerie/params").glob("*.py")]
    return {
        str(key.value)
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant)
        and isinstance(value, ast.Call)
        and getattr(value.func, "id", "") in MAKES_A_PARAM
    }


def test_runs_are_triggered_with_params_of_their_dag(calls: Calls) -> None:
    triggers = [words for words in airflow_commands(calls) if words[:2] == ["dags", "trigger"]]
    (posted,) = (words for words in of(calls, "curl") if option(words, "--request") == "POST")
    confs = [(words[2], json.loads(option(words, "--conf") or "{}")) for words in triggers]
    confs.append(("animals_pipeline", json.loads(str(option(posted, "--data")))["conf"]))

    assert {dag for dag, _ in confs} == {"animals_pipeline", "menagerie_doctor"}
    assert {name for _, conf in confs for name in conf} >= {"epochs", "canary_percent", "pods"}
    for dag, conf in confs:
        assert set(conf) <= params(dag)
    runs = [option(words, "--run-id") for words in triggers]
    assert len(set(runs)) == len(runs)


def operated(calls: Calls) -> Calls:
    return [words for words in of(calls, "kubectl") if words[:2] == ["run", "operate"]]


def test_what_an_operator_runs_is_a_command_line_of_the_contract(calls: Calls) -> None:
    steps = [contract.parse(_split(words)[2]) for words in operated(calls)]

    names = {
        name
        for step in steps
        if isinstance(step, contract.Operate)
        for name in vars(step)
        if getattr(step, name) is True
    }
    assert names == {"status", "rollback", "teardown"}
    assert all(step.models for step in steps if isinstance(step, contract.Operate) and step.rollback)


def test_the_operators_pod_keeps_to_the_namespaces_standard(calls: Calls) -> None:
    words = operated(calls)[0]
    flags = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    spec: dict[str, Any] = json.loads(flags["--overrides"])["spec"]
    (container,) = spec["containers"]

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": words[1], "namespace": flags["--namespace"]}}
    kubernetes_validate.validate(
        pod | {"spec": spec | {"containers": [container | {"image": flags["--image"]}]}}, "1.33", strict=True
    )

    assert container["name"] == words[1]  # so that kubectl's own container is the one that is overridden
    assert spec["serviceAccountName"] == "menagerie-deploy"
    assert flags["--namespace"] == NAMESPACE
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_variables_files_and_settings_that_it_names_are_there() -> None:
    settings = (ROOT / "plugins" / "menagerie" / "settings.py").read_text()
    roots = ("infra", "model_service", "dags", "plugins", "docs", "demo")
    paths = {path.rstrip(".") for path in re.findall(rf"(?<![\w/$.-])((?:{'|'.join(roots)})/[\w./-]*)", TEXT)}

    assert set(re.findall(r"\bMENAGERIE_\w+", TEXT)) <= set(re.findall(r"\bMENAGERIE_[A-Z_]+", settings))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert "cloudbuild.yaml" in TEXT
    named = set(re.findall(r"`(\w+)(?: = [^`]*)?` (?:of|in|from) the \.tfvars", TEXT)) | {"composer_size", "spot_steps"}
    assert named <= set(variables())


def test_the_cost_of_each_size_is_the_sum_of_its_rows() -> None:
    table = TEXT.split("## What it costs")[1].split("## ")[0]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    costs = [[int(cell) for cell in row[1:]] for row in rows[3:-1]]

    assert rows[-1][0] == "Sum"
    assert [sum(column) for column in zip(*costs, strict=True)] == [int(cell) for cell in rows[-1][1:]]


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / target).resolve().exists(), target
    for section in re.findall(r"\]\(#([^)]+)\)", TEXT):
        headings = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in TEXT.splitlines()]
        assert section in headings


def test_the_readme_leads_here() -> None:
    assert "(docs/composer.md)" in (ROOT / "README.md").read_text()


def test_the_errors_that_it_explains_are_ones_that_we_raise() -> None:
    """A quoted text's numbers and quoted values stand where the code has a placeholder."""
    files = [*ROOT.glob("plugins/**/*.py"), *ROOT.glob("model_service/**/*.py"), *(INFRA / "build").glob("*.sh")]
    source = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in files))  # literals over several lines
    source = re.sub(r"\{[^{}]*\}|\$\w+", "…", source)
    rows = re.findall(r"^\| ((?:Task|Step|Build|`plan`|`sort`|`deploy`):.*?) \|", TEXT, re.MULTILINE)
    quoted = [
        text
        for row in rows
        for text in re.findall(r"\*([^*]+)\*", row)
        if not text.startswith(("its container", "Image"))
    ]

    assert len(quoted) > 10
    assert [text for text in quoted if re.sub(r"\d+|'[^']*'|gs://…", "…", text) not in source] == []
