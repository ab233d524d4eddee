"""The build, run step by step on a machine with a fake docker and gcloud."""

from __future__ import annotations

import json
import time

import pytest

from tests.build.conftest import PUSH
from tests.build.machine import BASE, REPOSITORY, ROOT, SERVE, TRAIN, Machine, Outcome, details

RELEASE = PUSH | {"_COMPOSER": "menagerie"}
UPDATE = ("gcloud", "composer", "environments", "update")


def changes(machine: Machine) -> list[list[str]]:
    """Whatever changed something outside the build's own machine."""
    found = machine.calls("docker", "push") + machine.calls(*UPDATE)
    return found + machine.calls("gcloud", "storage", "cp") + machine.calls("gcloud", "storage", "rsync")


def test_a_push_is_tested_built_tried_scanned_pushed_and_brought_to_composer(released: tuple[Machine, Outcome]) -> None:
    machine, outcome = released

    assert outcome.failed is None, outcome.printed
    assert machine.calls("make") == [["make", "test"]]
    assert f"{len(list((ROOT / 'dags').glob('*.py')))} DAGs" in outcome.printed
    [images] = [call for call in machine.calls(*UPDATE) if any("MENAGERIE" in word for word in call)]
    assert images[-1] == f"--update-env-variables=MENAGERIE_IMAGE={TRAIN},MENAGERIE_SERVE_IMAGE={SERVE}"


# Building


def builds(machine: Machine) -> dict[str, list[str]]:
    """By target, the command that builds it."""
    return {call[call.index("--target") + 1]: call for call in machine.calls("docker", "buildx", "build")}


def test_both_targets_are_built_with_the_registry_as_cache(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    commands = builds(machine)
    assert set(commands) == {"train", "serve"}
    for target, command in commands.items():
        cache = f"type=registry,ref={REPOSITORY}/cache:{target}"
        assert command[command.index("--cache-from") + 1] == cache
        assert command[command.index("--cache-to") + 1].startswith(f"{cache},mode=max")
        assert command[command.index("--tag") + 1] == f"{REPOSITORY}/{target}:b-1"


def test_the_commit_is_written_into_the_images(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    for command in builds(machine).values():
        assert f"REVISION={PUSH['COMMIT_SHA']}" in command
        assert "VERSION=c0ffee0" in command
        assert "SOURCE=https://github.com/acme/menagerie" in command


def test_the_base_is_the_dockerfiles_by_digest(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    pinned = (ROOT / "model_service/Dockerfile").read_text().partition("ARG BASE=")[2].splitlines()[0]
    assert all(f"BASE={pinned}" in command for command in builds(machine).values())
    assert not machine.calls("docker", "buildx", "imagetools")


def test_a_base_named_by_tag_is_built_on_by_digest(machine: Machine) -> None:
    machine.build(**PUSH, _BASE=BASE.partition("@")[0])

    assert all(f"BASE={BASE}" in command for command in builds(machine).values())


def test_a_base_that_does_not_exist_ends_the_build(machine: Machine) -> None:
    machine.answer("imagetools inspect", err="not found\n", status=1)

    assert machine.build(**PUSH, _BASE="python:nope").failed == "build"
    assert not builds(machine)


def test_the_same_files_have_the_same_content_and_other_files_another(machine: Machine) -> None:
    def content() -> str:
        machine.build("infra/build/pullrequest.yaml", _BASE=BASE)
        return (machine.checkout / ".menagerie/build/content").read_text()

    first = content()
    (machine.checkout / "dags/animals_pipeline.py").write_text("# not in the images\n")
    (machine.checkout / "locks/airflow.txt").write_text("# not in the images\n")
    assert content() == first

    (machine.checkout / "model_service/errors.py").write_text("# in the images\n")
    assert content() != first


def test_a_pull_request_reads_the_cache_and_publishes_nothing(machine: Machine) -> None:
    outcome = machine.build("infra/build/pullrequest.yaml", _PR_NUMBER="7")

    assert outcome.failed is None, outcome.printed
    assert all("--cache-from" in command and "--cache-to" not in command for command in builds(machine).values())
    assert not changes(machine)
    assert not machine.calls("gcloud")


def test_the_publishing_build_refuses_a_pull_request(machine: Machine) -> None:
    outcome = machine.build(**RELEASE, _PR_NUMBER="7")

    assert outcome.failed == "guard"
    assert "infra/build/pullrequest.yaml" in outcome.printed
    assert not machine.calls("docker")


# Trying


def test_the_website_is_tried_locked_up_as_on_kubernetes(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    [site] = [call for call in machine.calls("docker", "run") if "--detach" in call]
    assert {"--read-only", "--cap-drop", "--tmpfs"} <= set(site)
    assert site[site.index(f"{REPOSITORY}/serve:b-1") + 1] == "serve"
    assert machine.calls("docker", "exec", "--interactive", "menagerie-smoke-b-1", "python", "-")
    assert machine.calls("docker", "rm", "--force", "menagerie-smoke-b-1")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("exec --interactive", "does not answer as it must"),
        ("run .*train --help", ""),
        ("run .*/serve:b-1 -x -C", ""),
    ],
)
def test_an_image_that_fails_its_try_is_not_published(machine: Machine, broken: str, told: str) -> None:
    machine.answer(broken, err="it broke\n", status=1)

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "smoke"
    assert told in outcome.printed
    assert "it broke" in outcome.printed
    assert not changes(machine)
    assert machine.calls("docker", "rm", "--force", "menagerie-smoke-b-1")


def test_a_website_image_that_has_grown_too_big_is_not_published(machine: Machine) -> None:
    machine.answer(r"\.Size.*/serve:", "600000001\n")

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "smoke"
    assert "more than 600" in outcome.printed
    assert not changes(machine)


def test_the_train_image_has_a_limit_without_cuda(machine: Machine) -> None:
    machine.answer(r"\.Size.*/train:", "2600000000\n")

    assert machine.build(**PUSH).failed is None
    assert machine.build(**PUSH, _TORCH="cpu").failed == "smoke"


# Scanning


def vulnerabilities(machine: Machine, *lines: str) -> None:
    machine.answer("list-vulnerabilities", "".join(f"{line}\n" for line in lines))


def test_a_critical_vulnerability_that_a_newer_package_mends_ends_the_build(machine: Machine) -> None:
    vulnerabilities(machine, "HIGH|True|CVE-2026-1", "CRITICAL|True|CVE-2026-2")

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "scan"
    assert "CVE-2026-2 is critical" in outcome.printed
    assert "CVE-2026-1" not in outcome.printed
    assert not changes(machine)


def test_one_that_nothing_mends_yet_is_reported(machine: Machine) -> None:
    vulnerabilities(machine, "CRITICAL||CVE-2023-45853", "CRITICAL|False|CVE-2023-45854", "MINIMAL||CVE-2020-1")

    outcome = machine.build(**PUSH)

    assert outcome.failed is None
    assert "3 known, 2 of them critical" in outcome.printed
    assert "CVE-2023-45853 is critical; there is no mended package yet" in outcome.printed


def test_one_can_be_accepted_by_name(machine: Machine) -> None:
    vulnerabilities(machine, "CRITICAL|True|CVE-2026-2")

    assert machine.build(**PUSH, _ACCEPTED="CVE-2026-1 CVE-2026-2").failed is None
    assert machine.build(**PUSH, _ACCEPTED="CVE-2026-22").failed == "scan"


def test_a_scan_without_a_result_ends_the_build(machine: Machine) -> None:
    machine.answer("images scan ", "")

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "scan"
    assert "On-Demand Scanning API" in outcome.printed


def test_scanning_can_be_switched_off(machine: Machine) -> None:
    assert machine.build(**PUSH, _SCAN="no").failed is None
    assert not machine.calls("gcloud", "artifacts")


# Pushing


def tags(machine: Machine) -> set[str]:
    return {
        call[-1].removeprefix(f"{REPOSITORY}/train:")
        for call in machine.calls("docker", "push")
        if "/train:" in call[-1]
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (PUSH, {"b-1", "c0ffee0", "branch-main"}),
        (PUSH | {"BRANCH_NAME": "feature/hippos"}, {"b-1", "c0ffee0", "branch-feature-hippos"}),
        (PUSH | {"BRANCH_NAME": "v1.2.0"}, {"b-1", "c0ffee0", "branch-v1.2.0"}),
        (PUSH | {"BRANCH_NAME": "latest"}, {"b-1", "c0ffee0", "branch-latest"}),
        (PUSH | {"BRANCH_NAME": "", "TAG_NAME": "v1.2.0"}, {"b-1", "c0ffee0", "v1.2.0"}),
        ({}, {"b-1"}),
    ],
    ids=["branch", "branch with a slash", "branch named as a release", "branch latest", "tag", "submitted by hand"],
)
def test_images_are_tagged_with_what_the_event_has(machine: Machine, event: dict[str, str], expected: set[str]) -> None:
    outcome = machine.build(**event)

    assert outcome.failed is None, outcome.printed
    assert tags(machine) == expected


@pytest.mark.parametrize("name", ["日本", "...", "-"])
@pytest.mark.parametrize("kind", ["BRANCH_NAME", "TAG_NAME"])
def test_a_name_of_which_no_tag_can_be_made_is_left_out_with_a_note(machine: Machine, kind: str, name: str) -> None:
    outcome = machine.build(**PUSH | {"BRANCH_NAME": "", kind: name})

    assert outcome.failed is None, outcome.printed
    assert tags(machine) == {"b-1", "c0ffee0"}
    assert f"{name} has no letter or digit that an image's tag may have: train is not tagged with it" in outcome.printed


def test_a_tag_is_as_long_as_a_registry_allows(machine: Machine) -> None:
    assert machine.build(**PUSH | {"BRANCH_NAME": "x" * 200}).failed is None

    assert f"branch-{'x' * 121}" in tags(machine)


def test_tests_that_fail_keep_everything_from_being_pushed(machine: Machine) -> None:
    machine.answer("^make test", err="1 failed\n", status=2)

    assert machine.build(**RELEASE).failed == "test"
    assert not changes(machine)


def test_a_push_whose_digest_is_unknown_ends_the_build(machine: Machine) -> None:
    machine.answer("RepoDigests", "\n")

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "push"
    assert "under which digest" in outcome.printed
    assert not machine.calls(*UPDATE)


def test_a_bill_of_materials_is_written(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    assert [call[-1] for call in machine.calls("gcloud", "artifacts", "sbom")] == [f"--uri={TRAIN}", f"--uri={SERVE}"]


def test_images_that_are_never_analysed_are_not_rolled_out(machine: Machine) -> None:
    machine.answer("sbom export", err="no scan\n", status=1)
    outcome = machine.build(**RELEASE)
    assert outcome.failed == "sbom"
    assert "Container Scanning API" in outcome.printed
    assert not machine.calls(*UPDATE)


# Composer


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"_COMPOSER": ""}, False),
        ({"BRANCH_NAME": "feature"}, False),
        ({"BRANCH_NAME": "", "TAG_NAME": "v1"}, False),
        ({"TAG_NAME": "main", "BRANCH_NAME": ""}, False),
        ({"_DEPLOY": "never"}, False),
        ({"BRANCH_NAME": "", "TAG_NAME": "v1", "_DEPLOY": "always"}, True),
        ({"BRANCH_NAME": "release", "_BRANCH": "release"}, True),
        ({"BRANCH_NAME": "maintenance"}, False),
        ({"BRANCH_NAME": "", "SHORT_SHA": "", "COMMIT_SHA": ""}, True),
    ],
)
def test_only_the_chosen_branch_changes_composer(machine: Machine, given: dict[str, str], changed: bool) -> None:
    outcome = machine.build(**RELEASE | given)

    assert outcome.failed is None, outcome.printed
    assert machine.calls("docker", "push")
    assert bool(machine.calls(*UPDATE)) is bool(machine.calls("gcloud", "storage", "rsync")) is changed


def test_a_deploy_mode_that_does_not_exist_is_refused(machine: Machine) -> None:
    outcome = machine.build(**RELEASE, _DEPLOY="yes")

    assert outcome.failed == "environment"
    assert "give auto, always or never" in outcome.printed


def test_what_is_rolled_out_is_recorded_by_content(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    content = (machine.checkout / ".menagerie/build/content").read_text().strip()
    assert machine.calls("gcloud", "storage", "cp")[0][-1] == (
        f"gs://composer-bucket/data/menagerie/images/{content}.json"
    )
    record = json.loads((machine.checkout / ".menagerie/build/record.json").read_text())
    assert record["train"] == TRAIN
    assert record["serve"] == SERVE
    assert record["commit"] == PUSH["COMMIT_SHA"]
    assert "@sha256:" in record["base"]


def test_a_tags_quotes_end_up_in_the_record_as_they_are(machine: Machine) -> None:
    tag = 'v1","serve": "evil'

    outcome = machine.build(**RELEASE | {"BRANCH_NAME": "", "TAG_NAME": tag, "_DEPLOY": "always"})

    assert outcome.failed is None, outcome.printed
    record = json.loads((machine.checkout / ".menagerie/build/record.json").read_text())
    assert (record["version"], record["serve"]) == (tag, SERVE)


def earlier_release(machine: Machine) -> tuple[str, str]:
    """A release of the same content, now running; its images, which have other labels and so other digests."""
    train, serve = TRAIN.replace("1", "8"), SERVE.replace("2", "9")
    record = {"build": "b-0", "train": train, "serve": serve}
    machine.answer("storage cat", json.dumps(record, indent=2))
    machine.answer(r"envVariables\.MENAGERIE_IMAGE", f"{train}\n")
    machine.answer(r"envVariables\.MENAGERIE_SERVE_IMAGE", f"{serve}\n")
    return train, serve


def test_a_push_that_changes_nothing_in_the_images_does_not_restart_airflow(machine: Machine) -> None:
    earlier_release(machine)

    outcome = machine.build(**RELEASE)

    assert outcome.failed is None, outcome.printed
    assert "those of build b-0 stay" in outcome.printed
    assert not machine.calls(*UPDATE)
    assert not machine.calls("gcloud", "storage", "cp")
    assert machine.calls("gcloud", "storage", "rsync")


def test_a_revert_goes_back_to_the_images_of_then(machine: Machine) -> None:
    train, serve = earlier_release(machine)
    machine.answer(r"envVariables\.MENAGERIE_IMAGE", f"{TRAIN}\n")

    machine.build(**RELEASE)

    assert machine.calls(*UPDATE)[0][-1].endswith(f"MENAGERIE_IMAGE={train},MENAGERIE_SERVE_IMAGE={serve}")


def test_images_of_then_that_were_deleted_are_replaced(machine: Machine) -> None:
    earlier_release(machine)
    machine.answer("images describe", err="NOT_FOUND\n", status=1)

    outcome = machine.build(**RELEASE)

    assert outcome.failed is None, outcome.printed
    assert machine.calls("gcloud", "storage", "cp")
    assert f"MENAGERIE_IMAGE={TRAIN}" in machine.calls(*UPDATE)[0][-1]


def test_a_bucket_that_cannot_be_read_is_no_empty_bucket(machine: Machine) -> None:
    machine.answer("storage cat", err="HTTPError 403: denied\n", status=1)

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "environment"
    assert "403" in outcome.printed
    assert not machine.calls(*UPDATE)


def test_packages_that_are_there_are_not_updated(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    assert not [call for call in machine.calls(*UPDATE) if "pypi" in " ".join(call)]


def test_packages_that_changed_are_updated(machine: Machine) -> None:
    requirements = machine.checkout / "composer_requirements.txt"
    requirements.write_text("# ours\nApache-Airflow-providers-google >= 19.0  # newer\nsome-package[extra]==1\n")
    machine.build(**RELEASE)
    [update] = [call for call in machine.calls(*UPDATE) if "pypi" in " ".join(call)]
    assert update[-2:] == [
        "--update-pypi-package=Apache-Airflow-providers-google>=19.0",
        "--update-pypi-package=some-package[extra]==1",
    ]


def test_packages_of_others_are_left_alone(machine: Machine) -> None:
    both = "apache-airflow-providers-cncf-kubernetes=>=10.8;apache-airflow-providers-google=>=18.0;theirs===1"
    machine.answer("describe .*pypiPackages", f"{both}\n")

    machine.build(**RELEASE)

    assert not [call for call in machine.calls(*UPDATE) if "pypi" in " ".join(call)]


@pytest.mark.parametrize("failing", ["update-env-variables", "describe .*dagGcsPrefix"])
def test_nothing_is_synced_when_the_environment_cannot_be_changed(machine: Machine, failing: str) -> None:
    machine.answer(failing, err="PERMISSION_DENIED\n", status=1)

    assert machine.build(**RELEASE).failed == "environment"
    assert not machine.calls("gcloud", "storage", "rsync")


# The sync, and what Airflow makes of it


def test_plugins_are_synced_before_dags_and_deletions_too(released: tuple[Machine, Outcome]) -> None:
    machine, _ = released

    syncs = machine.calls("gcloud", "storage", "rsync")
    assert [call[3:5] for call in syncs] == [
        ["plugins", "gs://composer-bucket/plugins"],
        ["dags", "gs://composer-bucket/dags"],
    ]
    assert all("--delete-unmatched-destination-objects" in call for call in syncs)


def test_a_file_whose_name_would_keep_it_from_composer_is_refused(machine: Machine) -> None:
    (machine.checkout / "dags/nightly.py").write_text("")

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "sync"
    assert "dags/nightly.py would not reach Composer" in outcome.printed
    assert not machine.calls("gcloud", "storage", "rsync")


def test_import_errors_fail_the_build_and_are_named(machine: Machine) -> None:
    error = {"bundle_name": "dags-folder", "filepath": "animals_pipeline.py", "error": "ImportError: no menagerie"}
    machine.answer("list-import-errors", json.dumps([error]) + "\n", status=1)

    outcome = machine.build(**RELEASE, SETTLE="0")

    assert outcome.failed == "parsed"
    assert "animals_pipeline.py:\nImportError: no menagerie" in outcome.printed


def test_import_errors_just_after_the_sync_may_be_old_ones(machine: Machine) -> None:
    error = {"filepath": "animals_pipeline.py", "error": "ImportError: no menagerie"}
    machine.answer("list-import-errors", json.dumps([error]) + "\n", status=1)

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "parsed"
    assert "has not parsed the DAGs in time" in outcome.printed


def test_import_errors_of_others_are_theirs(machine: Machine) -> None:
    error = {"filepath": "theirs.py", "error": "ImportError: nothing"}
    machine.answer("list-import-errors", "a warning\n" + json.dumps([error]) + "\n", status=1)

    assert machine.build(**RELEASE, SETTLE="0").failed is None


def test_an_airflow_that_does_not_answer_fails_the_build(machine: Machine) -> None:
    machine.answer("environments run", err="the environment is updating\n", status=1)

    outcome = machine.build(**RELEASE, SETTLE="0")

    assert outcome.failed == "parsed"
    assert "does not say whether there are import errors" in outcome.printed


def test_a_dag_that_is_never_parsed_again_fails_the_build(machine: Machine) -> None:
    machine.answer("dags details -- animals_pipeline ", details("animals_pipeline", time.time() - 10))

    outcome = machine.build(**RELEASE)

    assert outcome.failed == "parsed"
    assert "animals_pipeline was last parsed at" in outcome.printed
    assert "has not parsed the DAGs in time" in outcome.printed
