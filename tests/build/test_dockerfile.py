"""The Dockerfile: what a linter knows of it, and what it must be for the cluster and the cache."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.build.machine import ROOT

DOCKERFILE = ROOT / "model_service/Dockerfile"
TARGETS = ["train", "serve"]


@dataclass
class Stage:
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for instruction, value in self.instructions if instruction == name]


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    found: dict[str, Stage] = {"": Stage("")}  # before the first FROM
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        if name == "FROM":
            base, _, stage = value.partition(" AS ")
            found[stage] = Stage(base)
        else:
            found[list(found)[-1]].instructions.append((name, " ".join(value.split())))
    return found


def history(stages: dict[str, Stage], target: str) -> list[tuple[str, str]]:
    """A target's instructions with those of the stages that it is built from."""
    stage = stages.get(target)
    return [] if stage is None else history(stages, stage.base) + stage.instructions


def last(stages: dict[str, Stage], target: str, name: str) -> str:
    return [value for instruction, value in history(stages, target) if instruction == name][-1]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    run = subprocess.run(
        [hadolint, "--failure-threshold=style", DOCKERFILE], text=True, capture_output=True, timeout=60
    )

    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_two_targets_on_one_base_that_is_pinned_by_digest(stages: dict[str, Stage]) -> None:
    assert list(stages)[-2:] == TARGETS
    [base] = stages[""].all("ARG")
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.11[\w.-]*slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert {stage.base for stage in stages.values()} - set(stages) == {"${BASE}"}


def test_nothing_is_fetched_but_packages_by_hash_and_what_the_registry_needs_of_debian(
    stages: dict[str, Stage],
) -> None:
    commands = [value for stage in stages.values() for value in stage.all("RUN")]

    assert not [value for stage in stages.values() for value in stage.all("ADD")]
    assert not [command for command in commands if re.search(r"curl|wget|https?://", command)]
    (apt,) = [command for command in commands if "apt-get" in command]
    assert [apt] == stages["train"].all("RUN"), "not in the website's image"
    assert "apt-get install --yes --no-install-recommends git openssh-client &&" in apt
    assert "rm -rf /var/lib/apt/lists/*" in apt
    for command in commands:
        if re.search(r"\bpip (install|sync)", command):
            assert "--require-hashes" in command, command


@pytest.mark.parametrize("target", TARGETS)
def test_packages_are_a_layer_of_their_own_before_the_code(target: str, stages: dict[str, Stage]) -> None:
    copies = stages[target].all("COPY")

    assert copies == [f"--from={target}-packages /opt/venv /opt/venv", "--from=code /app /app"]
    for packages in (f"{target}-packages", "packages"):
        assert not [copy for copy in stages[packages].all("COPY") if "model_service" in copy or "plugins" in copy]


@pytest.mark.parametrize("target", TARGETS)
def test_what_changes_with_every_build_comes_last(target: str, stages: dict[str, Stage]) -> None:
    names = [name for name, _ in stages[target].instructions]

    assert names.index("ARG") > max(i for i, name in enumerate(names) if name in ("COPY", "RUN"))


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_the_numeric_user_of_the_pods(target: str, stages: dict[str, Stage]) -> None:
    assert last(stages, target, "USER") == "10001:10001"  # Kubernetes' runAsNonRoot looks at numbers only


@pytest.mark.parametrize("target", TARGETS)
def test_its_program_gets_signals_itself(target: str, stages: dict[str, Stage]) -> None:
    assert last(stages, target, "ENTRYPOINT") == '["python", "-m", "model_service"]'
    assert last(stages, target, "WORKDIR") == "/app"


@pytest.mark.parametrize("target", TARGETS)
def test_it_needs_no_writable_root(target: str, stages: dict[str, Stage]) -> None:
    variables = " ".join(value for name, value in history(stages, target) if name == "ENV").split()

    assert "HOME=/tmp" in variables
    assert "PYTHONDONTWRITEBYTECODE=1" in variables
    assert "UV_COMPILE_BYTECODE=1" in stages["packages"].all("ENV")[0].split()
    assert any("compileall" in command for command in stages["code"].all("RUN"))


@pytest.mark.parametrize("target", TARGETS)
def test_it_says_what_it_is(target: str, stages: dict[str, Stage]) -> None:
    labels = dict(word.split("=", 1) for word in shlex.split(stages[target].all("LABEL")[0]))

    names = {name.removeprefix("org.opencontainers.image.") for name in labels}
    assert {"title", "revision", "created", "source", "version", "licenses", "base.name"} <= names
    assert stages[target].all("ENV") == ["MENAGERIE_COMMIT=${REVISION}"]


def test_only_the_website_has_a_health_check_and_a_port(stages: dict[str, Stage]) -> None:
    assert not stages["train"].all("HEALTHCHECK")
    [check] = stages["serve"].all("HEALTHCHECK")
    assert "http://127.0.0.1:5000/healthz" in check
    assert stages["serve"].all("EXPOSE") == ["5000"]


def test_the_website_has_no_torch_in_its_lock() -> None:
    names = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "locks/serve.txt").read_text(), re.M)

    assert "openvino" in names
    assert not {"torch", "torchvision", "fastai", "onnx", "dvc"} & set(names)


@pytest.mark.parametrize(
    ("torch", "locks", "told"),
    [
        ("cpu", ["model.txt"], "locks/model-cpu.txt is missing: make it with 'make lock-cpu'"),
        ("rocm", ["model.txt"], "TORCH is 'rocm': give cuda or cpu"),
        ("cuda", ["model.txt"], ""),
        ("cpu", ["model.txt", "model-cpu.txt"], ""),
    ],
)
def test_the_kind_of_torch_chooses_the_lock(
    torch: str, locks: list[str], told: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    [command] = stages["train-packages"].all("RUN")
    shell = re.sub(r"--mount=\S+ ", "", command).replace("/run/locks", str(tmp_path))
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@"\n')
    uv.chmod(0o755)
    for lock in locks:
        (tmp_path / lock).touch()

    run = subprocess.run(
        ["sh", "-c", shell], env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TORCH": torch}, text=True, capture_output=True
    )

    assert told in run.stderr
    assert (run.returncode == 0) is (told == "")
    if not told:
        lock = {"cuda": "model.txt", "cpu": "model-cpu.txt"}[torch]
        assert run.stdout.split()[-1] == str(tmp_path / lock)
        assert ("--torch-backend cpu" in run.stdout) is (torch == "cpu")


# The context


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves a file out: the last pattern that matches the path, or a folder above it, decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        parts = Path(path).parts
        folders = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        if any(_matches(folder, pattern) for folder in folders):
            out = not line.startswith("!")
    return out


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(_matches("/".join(Path(path).parts[i:]), pattern[3:]) for i in range(len(Path(path).parts)))
    ours, theirs = path.split("/"), pattern.split("/")
    return len(ours) == len(theirs) and all(map(fnmatch.fnmatchcase, ours, theirs))


def sources() -> list[str]:
    """The checkout's files, without hidden ones and caches. By their names: a build that is submitted has no git to ask."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [str((Path(folder) / name).relative_to(ROOT)) for name in names if not name.startswith(".")]
    return found


def test_the_context_is_the_code_the_contract_and_the_locks() -> None:
    files = sources()
    kept = {path for path in files if not ignored(path)}

    locks = {path for path in files if re.fullmatch(r"locks/(uv|serve|model|model-cpu)\.txt", path)}
    code = {path for path in files if path.startswith("model_service/") and path != "model_service/Dockerfile"}
    contract = {path for path in files if path.startswith("plugins/menagerie_contract/")}
    assert contract
    assert kept == contract | locks | code


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".menagerie/venv/model/bin/python",
        ".menagerie/buckets/animals_all/cat_1.jpg",
        "model_service/__pycache__/sort.cpython-311.pyc",
        "model_service/.env",
        "infra/dev.tfvars",
        "key.json",
    ],
)
def test_nothing_else_can_end_up_in_an_image(path: str) -> None:
    assert ignored(path)


def test_all_that_is_copied_is_in_the_context(stages: dict[str, Stage]) -> None:
    for stage in stages.values():
        for copy in stage.all("COPY"):
            if not copy.startswith("--from="):
                for source in copy.split()[:-1]:
                    inside = list((ROOT / source).rglob("*.py")) if (ROOT / source).is_dir() else [ROOT / source]
                    assert inside
                    assert not [p for p in inside if p.is_file() and ignored(str(p.relative_to(ROOT)))]


def test_the_pods_find_the_user_the_port_and_the_folder_of_the_image() -> None:
    """The shipped manifest and the image are written apart, and must agree."""
    manifest = ROOT / "model_service/deploy/manifests/deployment.yaml"
    if not manifest.exists():
        pytest.skip("the manifests are not here yet")
    pod = next(d for d in yaml.safe_load_all(manifest.read_text()) if d["kind"] == "Deployment")["spec"]["template"][
        "spec"
    ]

    users = {pod.get("securityContext", {}).get("runAsUser")}
    users |= {c.get("securityContext", {}).get("runAsUser") for c in pod["containers"]}
    assert users - {None} == {10001}
    assert {port["containerPort"] for c in pod["containers"] for port in c.get("ports", [])} == {5000}
