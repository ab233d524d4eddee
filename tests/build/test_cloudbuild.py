"""The builds' configurations, as Cloud Build reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.build.machine import ROOT

CONFIGS = ["cloudbuild.yaml", "infra/build/pullrequest.yaml"]
SCHEMA = json.loads((Path(__file__).parent / "cloudbuild_schema.json").read_text())
# cloud.google.com/build/docs/configuring-builds/substitute-variable-values
BUILT_IN = {"PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "LOCATION", "TRIGGER_NAME", "REPO_NAME", "REPO_FULL_NAME"}
BUILT_IN |= {"COMMIT_SHA", "SHORT_SHA", "REVISION_ID", "BRANCH_NAME", "TAG_NAME", "REF_NAME", "SERVICE_ACCOUNT_EMAIL"}
OF_A_PULL_REQUEST = {"_PR_NUMBER", "_HEAD_BRANCH", "_BASE_BRANCH", "_HEAD_REPO_URL"}


def read(config: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / config).read_text())
    return document


def scripts(config: str) -> dict[str, str]:
    """By step, the script of infra/build that it runs."""
    found = {s["id"]: re.search(r"^exec (infra/build/\S+\.sh)$", s["script"], re.M) for s in read(config)["steps"]}
    return {step: match[1] for step, match in found.items() if match}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_is_a_build(config: str) -> None:
    jsonschema.validate(read(config), SCHEMA, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "damage",
    [
        lambda build: build.update(step=[]),
        lambda build: build["steps"][0].update(wait_for=["-"]),
        lambda build: build["steps"][0].update(args=["x"]),
        lambda build: build["options"].update(machineType="E2_HUGE"),
        lambda build: build.update(timeout="1h"),
        lambda build: build["substitutions"].update(REGION="x"),
    ],
)
def test_the_schema_finds_what_cloud_build_would_refuse(damage: Any) -> None:
    build = read("cloudbuild.yaml")
    damage(build)

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(build, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_gcloud_itself_reads_it(config: str) -> None:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("there is no gcloud on this machine")
    library = Path(gcloud).resolve().parents[1] / "lib"
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from googlecloudsdk.api_lib.cloudbuild import cloudbuild_util, config\n"
        "build = config.LoadCloudbuildConfigFromPath(sys.argv[1], cloudbuild_util.GetMessagesModule(), params={})\n"
        "print(*[step.id for step in build.steps])"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, ROOT / config, library, library / "third_party"],
        text=True,
        capture_output=True,
        timeout=60,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [step["id"] for step in read(config)["steps"]]


def test_a_step_waits_only_for_steps_before_it(config: str) -> None:
    before: set[str] = set()
    for step in read(config)["steps"]:
        assert step["id"] not in before
        assert set(step.get("waitFor", [])) <= before | {"-"}, step["id"]
        before.add(step["id"])


def test_nothing_is_published_before_it_was_tested_tried_and_scanned() -> None:
    waits = {step["id"]: set(step.get("waitFor", [])) for step in read("cloudbuild.yaml")["steps"]}

    def behind(step: str) -> set[str]:
        return waits[step].union(*(behind(earlier) for earlier in waits[step]))

    assert {"guard", "test", "build", "smoke", "scan"} <= behind("push")
    assert {"push", "test"} <= behind("environment")
    assert {"environment"} <= behind("sync")
    assert {"sync"} <= behind("parsed")


def test_no_step_may_fail_unseen(config: str) -> None:
    assert not [s["id"] for s in read(config)["steps"] if s.get("allowFailure") or s.get("allowExitCodes")]


def test_each_step_is_a_script_that_can_be_run(config: str) -> None:
    for step in read(config)["steps"]:
        assert step["script"].startswith("#!/usr/bin/env bash\n")
    for script in scripts(config).values():
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} is not executable"
        assert "set -euo pipefail" in (ROOT / script).read_text()


def test_a_pull_request_is_tested_built_and_tried_by_an_account_that_publishes_nothing() -> None:
    build = read("infra/build/pullrequest.yaml")

    assert [step["id"] for step in build["steps"]] == ["test", "build", "smoke"]
    assert "images" not in build
    assert build["serviceAccount"] != read("cloudbuild.yaml")["serviceAccount"]


def test_every_substitution_in_the_file_is_defined(config: str) -> None:
    build = read(config)
    text = json.dumps({key: value for key, value in build.items() if key != "steps"})
    used = set(re.findall(r"\$\{?([A-Z_][A-Z0-9_]*)\}?", text))

    assert used <= BUILT_IN | set(build["substitutions"])
    assert build["options"]["automapSubstitutions"]
    assert build["options"]["substitutionOption"] == "ALLOW_LOOSE"


def test_every_variable_of_a_script_is_a_substitution_or_its_own(config: str) -> None:
    build = read(config)
    known = BUILT_IN | OF_A_PULL_REQUEST | set(build["substitutions"]) | set(read("cloudbuild.yaml")["substitutions"])
    shared = (ROOT / "infra/build/names.sh").read_text()
    for script in scripts(config).values():
        text = (ROOT / script).read_text()
        used = set(re.findall(r"\$\{?!?#?([A-Z_][A-Z0-9_]+)", text))
        own = set(re.findall(r"^\s*([A-Z_][A-Z0-9_]*)=", text + shared, re.M)) | {"PAUSE", "LOOKS", "SETTLE"}
        assert used <= known | own, script


def test_the_header_explains_every_substitution() -> None:
    header = (ROOT / "cloudbuild.yaml").read_text().partition("steps:")[0]

    assert set(re.findall(r"^#   (_[A-Z_]+) ", header, re.M)) == set(read("cloudbuild.yaml")["substitutions"])


def test_what_was_built_is_signed_by_cloud_build() -> None:
    build = read("cloudbuild.yaml")

    assert build["options"]["requestedVerifyOption"] == "VERIFIED"
    assert build["images"] == ["${_REPOSITORY}/train:$BUILD_ID", "${_REPOSITORY}/serve:$BUILD_ID"]
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"  # an account of one's own has no default logs bucket


def test_the_steps_have_time_within_the_build() -> None:
    build = read("cloudbuild.yaml")
    chain = ["build", "smoke", "scan", "push", "sbom", "environment", "sync", "parsed"]
    limits = {step["id"]: int(step["timeout"][:-1]) for step in build["steps"] if "timeout" in step}

    assert sum(limits[step] for step in chain) <= int(build["timeout"][:-1])
