"""infra/ is well formed, refers to what exists, and gives nobody more than is needed.

`terraform validate` needs the google provider, which cannot be fetched everywhere: it runs where MENAGERIE_TERRAFORM_PLUGIN_DIR
names a folder made by `terraform providers mirror`. Argument names are checked against Google's own API descriptions, anywhere.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.infra import api_words
from tests.infra.configuration import (
    FILES,
    INFRA,
    MISSING,
    TFVARS,
    Block,
    bare,
    blocks,
    items,
    literals,
    local_names,
    parsed,
    run,
    uncommented,
    variables,
    words,
)

BLOCKS = blocks()
BUCKETS = [block for block in BLOCKS if block.type == "google_storage_bucket"]
TEXT = "\n".join(uncommented(path) for path in FILES)
PLUGINS = os.environ.get("MENAGERIE_TERRAFORM_PLUGIN_DIR", "")


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_every_file_is_formatted_as_terraform_formats_it() -> None:
    done = run("fmt", "-check", "-diff", "-recursive", INFRA)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [*FILES, *TFVARS], ids=lambda path: path.name)
def test_every_file_parses(path: Path) -> None:
    assert parsed(path)


@pytest.mark.skipif(
    not PLUGINS, reason="MENAGERIE_TERRAFORM_PLUGIN_DIR is not set: no google provider to validate with"
)
def test_terraform_validates_it_with_the_provider(tmp_path: Path) -> None:
    shutil.copytree(INFRA, tmp_path / "infra")
    shutil.copy(INFRA.parent / "composer_requirements.txt", tmp_path)
    made = run("init", "-no-color", "-backend=false", f"-plugin-dir={PLUGINS}", cwd=tmp_path / "infra")
    assert made.returncode == 0, made.stderr

    done = run("validate", "-no-color", cwd=tmp_path / "infra")

    assert done.returncode == 0, done.stdout + done.stderr


def test_terraform_and_the_provider_are_pinned() -> None:
    (settings,) = parsed(INFRA / "versions.tf")["terraform"]
    (providers,) = settings["required_providers"]

    assert bare(settings["required_version"]).startswith(">= 1.")
    assert bare(providers["google"]["version"]).startswith("~> ")


def test_no_module_comes_from_elsewhere() -> None:
    assert not any("module" in parsed(path) for path in FILES)


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_variable_says_what_it_is(name: str) -> None:
    variable = variables()[name]

    assert {"description", "type"} <= set(variable)
    assert len(bare(variable["description"])) > 20


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_variable_is_used(name: str) -> None:
    elsewhere = "\n".join(uncommented(path) for path in FILES if path.name != "variables.tf")

    assert re.search(rf"\bvar\.{name}\b", elsewhere)


@pytest.mark.parametrize("name", sorted(local_names()))
def test_every_local_is_used(name: str) -> None:
    assert re.search(rf"\blocal\.{name}\b", TEXT)


def test_what_is_referred_to_is_declared() -> None:
    assert set(re.findall(r"\bvar\.(\w+)", TEXT)) <= set(variables())
    assert set(re.findall(r"\blocal\.(\w+)", TEXT)) <= local_names()
    addresses = {block.address for block in BLOCKS}
    code = re.sub(r'"(?:resource|metric|roles|labels)[^"]*"', "", TEXT)
    assert set(re.findall(r"\bdata\.\w+\.\w+", code)) <= addresses
    used = set(re.findall(r"(?<![\w.\"/])google_\w+\.[a-z]\w*", re.sub(r"\bdata\.\w+\.\w+", "", code)))
    assert used <= addresses
    assert used


def test_no_address_is_declared_twice() -> None:
    assert [address for address, times in Counter(block.address for block in BLOCKS).items() if times > 1] == []


@pytest.mark.parametrize("path", TFVARS, ids=lambda path: path.name)
def test_values_are_given_to_declared_variables_and_to_all_that_must_be_set(path: Path) -> None:
    given = set(parsed(path))

    assert given <= set(variables())
    assert {name for name, variable in variables().items() if "default" not in variable} <= given


def test_every_output_says_what_it_is() -> None:
    for one in parsed(INFRA / "outputs.tf")["output"]:
        for name, output in items(one):
            assert len(bare(output["description"])) > 10, name


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.address)
def test_arguments_are_words_of_the_api_or_of_terraform(block: Block) -> None:
    known = api_words.known(block.type)
    if known is None:
        pytest.skip(api_words.MISSING)

    assert set(words(block.body)) - known == set()
    capitals = {text for text in literals(block.body) if re.fullmatch(r"[A-Z][A-Z0-9]*_?[A-Z0-9_]+", text)}
    assert capitals - api_words.values(block.type) == set()


# Security


@pytest.mark.parametrize("block", BUCKETS, ids=lambda block: block.address)
def test_every_bucket_is_private_and_ruled_by_iam_alone(block: Block) -> None:
    assert block.body["uniform_bucket_level_access"] is True
    assert bare(block.body["public_access_prevention"]) == "enforced"


def test_data_buckets_keep_what_is_replaced_or_deleted() -> None:
    (data,) = (block.body for block in BUCKETS if block.name == "data")

    assert data["versioning"][0]["enabled"] is True
    assert "var.soft_delete_days" in data["soft_delete_policy"][0]["retention_duration_seconds"]
    ages = [rule["condition"][0].get("days_since_noncurrent_time") for rule in data["lifecycle_rule"]]
    assert "${var.noncurrent_days}" in ages


def test_the_website_reads_models_and_reports_and_may_do_nothing_else() -> None:
    """As its Google account, and as its Kubernetes account, which is tied to the former but for a while after a teardown."""
    roles = parsed(INFRA / "identity.tf")["locals"][0]["bucket_roles"]
    granted = {bare(key): bare(role) for key, role in roles.items() if "animals-website" in key}
    (direct,) = (block.body for block in BLOCKS if block.address == "google_storage_bucket_iam_member.website")

    assert granted == {
        "animals_models/animals-website": "roles/storage.objectViewer",
        "animals_predicted/animals-website": "roles/storage.objectViewer",
    }
    assert bare(direct["role"]) == "roles/storage.objectViewer"
    assert set(re.findall(r"animals_\w+", str(direct["for_each"]))) == {"animals_models", "animals_predicted"}


def test_nobody_is_everybody() -> None:
    assert "allUsers" not in TEXT
    assert "allAuthenticatedUsers" not in TEXT


def test_no_role_is_one_of_the_basic_ones_or_an_administrators() -> None:
    roles = set(re.findall(r"\"(roles/[\w.]+)\"", TEXT))

    assert roles
    assert not [role for role in roles if re.fullmatch(r"roles/(owner|editor|viewer)|.*[aA]dmin", role)]


def test_roles_are_added_and_those_of_others_left_alone() -> None:
    assert not [block.address for block in BLOCKS if block.type.endswith(("_iam_binding", "_iam_policy"))]


def test_no_key_of_an_account_and_no_value_of_a_secret_is_made() -> None:
    types = {block.type for block in BLOCKS}

    assert not types & {"google_service_account_key", "google_secret_manager_secret_version"}


def test_the_cluster_has_private_nodes_and_accounts_for_pods() -> None:
    (cluster,) = (block.body for block in BLOCKS if block.type == "google_container_cluster")

    assert cluster["enable_autopilot"] is True
    assert cluster["private_cluster_config"][0]["enable_private_nodes"] is True
    assert cluster["control_plane_endpoints_config"][0]["dns_endpoint_config"][0]["allow_external_traffic"] is True
    assert bare(cluster["gateway_api_config"][0]["channel"]) == "CHANNEL_STANDARD"
    assert cluster["deletion_protection"] == "${var.deletion_protection}"


def test_images_that_pods_name_by_digest_stay() -> None:
    (registry,) = (block.body for block in BLOCKS if block.type == "google_artifact_registry_repository")

    deleted = [policy for policy in registry["cleanup_policies"] if bare(policy["action"]) == "DELETE"]

    assert [bare(policy["condition"][0]["tag_state"]) for policy in deleted] == ["UNTAGGED"]
    assert registry["docker_config"][0]["immutable_tags"] is False


def test_the_builds_digests_are_not_set_back() -> None:
    (composer,) = (block.body for block in BLOCKS if block.type == "google_composer_environment")

    ignored = str(composer["lifecycle"][0]["ignore_changes"])

    assert "MENAGERIE_IMAGE" in ignored
    assert "MENAGERIE_SERVE_IMAGE" in ignored
