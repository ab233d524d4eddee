"""The table of resources and what may be laid over it; what Kubernetes is asked for in the end."""

from __future__ import annotations

import re
from typing import Any

import menagerie_contract as contract
import pytest
from menagerie import resources
from menagerie.launchers import pods
from menagerie.resources import TABLE, Resources, ResourcesError, override

PODS = "the Param pods"


def test_every_step_that_runs_to_its_end_has_its_row() -> None:
    assert set(TABLE) == {name for name, step in contract.STEPS.items() if issubclass(step, contract.Batch)}


def test_the_steps_that_talk_to_the_cluster_have_another_account() -> None:
    assert {step for step, row in TABLE.items() if row.service_account == "menagerie-deploy"} == {"deploy"}
    assert {row.service_account for row in TABLE.values()} == {"menagerie-deploy", "menagerie-step"}
    fields = {"models": "gs://m", "result": ""}
    assert resources.row(contract.Doctor(**fields)) == "doctor"
    assert resources.row(contract.Doctor(**fields, namespace="menagerie")) == "deploy"


def test_what_is_named_is_changed_and_nothing_else() -> None:
    changed = override(TABLE, {"train": {"cpu": 8, "memory": "32Gi", "gpus": 1}}, PODS)
    assert changed["train"] == Resources(cpu="8", memory="32Gi", storage="10Gi", deadline=12 * 3600, gpus=1)
    assert {step: row for step, row in changed.items() if step != "train"} == {
        step: row for step, row in TABLE.items() if step != "train"
    }
    assert override(TABLE, {}, PODS) == TABLE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], 'the Param pods is []; set it to an object such as {"train": {"cpu": "8"}}'),
        (
            {"trian": {}},
            "the Param pods names a step 'trian'; the steps are plan, sort, predict, evaluate, snapshot, train, ",
        ),
        ({"train": 8}, "the Param pods.train is 8; set it to an object"),
        ({"train": {"ram": "8Gi"}}, "the Param pods.train has a key 'ram'; the keys are cpu, memory, storage, "),
        ({"train": {"memory": "much"}}, "the Param pods.train.memory is 'much'; set it to memory, such as 16Gi"),
        ({"train": {"cpu": "0"}}, "the Param pods.train.cpu is '0'; set it to CPUs"),
        ({"train": {"cpu": "4Gi"}}, "the Param pods.train.cpu is '4Gi'; set it to CPUs, such as 500m or 8"),
        ({"train": {"cpu": "0.0001"}}, "the Param pods.train.cpu is '0.0001'; set it to CPUs"),
        ({"train": {"memory": 16}}, "the Param pods.train.memory is 16; set it to memory, such as 16Gi"),
        ({"train": {"memory": "500m"}}, "the Param pods.train.memory is '500m'; set it to memory"),
        ({"train": {"storage": "9k"}}, "the Param pods.train.storage is '9k'; set it to ephemeral storage"),
        ({"train": {"cpu": True}}, "the Param pods.train.cpu is True; set it to CPUs"),
        ({"train": {"gpus": -1}}, "the Param pods.train.gpus is -1; set it to a number of GPUs"),
        ({"train": {"deadline": 5}}, "the Param pods.train.deadline is 5; set it to whole seconds"),
        ({"train": {"node_selector": {"a": 1}}}, "the Param pods.train.node_selector is {'a': 1}; set it to"),
        ({"train": {"tolerations": [{"keys": "a"}]}}, "the Param pods.train.tolerations is [{'keys': 'a'}]; set it"),
        ({"train": {"node_selector": {"a b": "c d"}}}, "the Param pods.train.node_selector is {'a b': 'c d'}; set it"),
        ({"train": {"node_selector": {"a/": "b"}}}, "the Param pods.train.node_selector is {'a/': 'b'}; set it"),
        ({"train": {"tolerations": [{}]}}, "the Param pods.train.tolerations is [{}]; set it to a list"),
        ({"train": {"tolerations": [""]}}, "the Param pods.train.tolerations is ['']; set it to a list"),
        ({"train": {"tolerations": [{"key": "a", "operator": "Is"}]}}, "the Param pods.train.tolerations is "),
        ({"train": {"tolerations": [{"key": "a", "effect": "No"}]}}, "the Param pods.train.tolerations is "),
        ({"train": {"tolerations": ["a"]}}, "the Param pods.train.tolerations is ['a']; set it to a list"),
        ({"train": {"service_account": ""}}, "the Param pods.train.service_account is ''; set it to the name"),
        ({"sort": {"spot": True}}, "the Param pods.sort.spot is true; only predict and train may run on Spot nodes"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(changes: object, said: str) -> None:
    with pytest.raises(ResourcesError) as refusal:
        override(TABLE, changes, PODS)
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    "change",
    [
        *({"cpu": value} for value in (8, 0.5, "1500m", "2.5")),
        *({"memory": value} for value in ("512Mi", "1.5G", 17179869184, "1048576")),
        {"node_selector": {"cloud.google.com/machine-family": "n2", "plain": ""}},
        {"tolerations": [{"operator": "Exists"}, {"key": "a.b/c", "value": "d", "effect": "NoSchedule"}]},
        {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]},
    ],
)
def test_what_kubernetes_takes_is_taken(change: dict[str, Any]) -> None:
    assert override(TABLE, {"train": change}, PODS) != TABLE


def test_who_may_trigger_a_run_may_not_choose_its_account() -> None:
    changes = {"train": {"service_account": "menagerie-deploy"}}
    assert override(TABLE, changes, "MENAGERIE_PODS")["train"].service_account == "menagerie-deploy"
    with pytest.raises(ResourcesError, match=r"pods\.train\.service_account cannot be set for one run; MENAGERIE_PODS"):
        override(TABLE, changes, PODS, only_by_settings=("service_account",))


# The pod.


def spec(step: str, **changes: Any) -> Any:
    row = override(TABLE, {step: changes}, PODS)[step]
    return pods.pod(
        step=step,
        image="i",
        argv=["train"],
        resources=row,
        labels={"a": "b"},
        annotations={"c": "d"},
        registry_secret="git",
        tracking_secret="mlflow",
    )


def test_gits_credentials_are_files_of_the_steps_that_need_them() -> None:
    mounted = {step: {one.name: one for one in spec(step).spec.volumes}.get("registry") for step in TABLE}
    assert {step for step, volume in mounted.items() if volume} == {"snapshot", "train", "doctor"}
    assert mounted["snapshot"].secret.secret_name == "git"
    assert mounted["snapshot"].secret.default_mode == 0o440
    (container,) = spec("snapshot").spec.containers
    (mount,) = (one for one in container.volume_mounts if one.name == "registry")
    assert mount.read_only
    variables = {one.name: one.value for one in container.env}
    assert variables["MENAGERIE_REGISTRY_CREDENTIALS"] == mount.mount_path
    (other,) = spec("judge").spec.containers
    assert "MENAGERIE_REGISTRY_CREDENTIALS" not in {one.name for one in other.env}


def test_keys_of_the_tracking_secret_are_variables_of_train_alone() -> None:
    given = {step: spec(step).spec.containers[0].env_from for step in TABLE}
    assert {step for step, found in given.items() if found} == {"train"}
    assert given["train"][0].secret_ref.name == "mlflow"


def test_without_secrets_nothing_is_mounted() -> None:
    pod = pods.pod(step="train", image="i", argv=[], resources=TABLE["train"], labels={}, annotations={})
    assert [one.name for one in pod.spec.volumes] == ["tmp"]
    assert pod.spec.containers[0].env_from is None


def test_a_gpu_and_where_it_is() -> None:
    pod = spec("train", gpus=2)
    assert pod.spec.containers[0].resources.limits["nvidia.com/gpu"] == "2"
    assert pod.spec.node_selector == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert [one.key for one in pod.spec.tolerations] == ["nvidia.com/gpu"]
    assert spec("train", gpus=2, gpu_type="").spec.node_selector == {}
    assert "nvidia.com/gpu" not in spec("train").spec.containers[0].resources.limits


def test_a_spot_node_is_asked_for_and_its_short_notice_known() -> None:
    pod = spec("train", spot=True)
    assert pod.spec.node_selector == {"cloud.google.com/gke-spot": "true"}
    (toleration,) = pod.spec.tolerations
    assert (toleration.key, toleration.value, toleration.effect) == ("cloud.google.com/gke-spot", "true", "NoSchedule")
    assert pod.spec.termination_grace_period_seconds == pods.SPOT_GRACE
    assert pod.metadata.annotations == {"c": "d"}  # Autopilot lets nothing hold a Spot node


def test_only_training_must_not_be_moved() -> None:
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert [step for step in TABLE if key in spec(step).metadata.annotations] == ["train"]


def test_only_what_needs_the_clusters_api_gets_a_token() -> None:
    assert [step for step in TABLE if spec(step).spec.automount_service_account_token] == ["deploy"]


def test_memory_is_limited_and_threads_are_as_many_as_cpus() -> None:
    (container,) = spec("sort", cpu="1500m").spec.containers
    assert container.resources.requests == {"cpu": "1500m", "memory": "4Gi", "ephemeral-storage": "10Gi"}
    assert container.resources.limits == {"memory": "4Gi", "ephemeral-storage": "10Gi"}
    assert {one.name: one.value for one in container.env}["OMP_NUM_THREADS"] == "1"


def test_labels_are_safe_whatever_the_names() -> None:
    found = pods.labels(dag="animals pipeline", run="r" * 80, step="train", attempt=2)
    assert set(found) == {"app.kubernetes.io/managed-by"} | {
        f"menagerie.dev/{n}" for n in ("dag", "run", "step", "try")
    }
    assert all(len(value) <= 63 and " " not in value for value in found.values())
    assert (
        found["menagerie.dev/run"] != pods.labels(dag="d", run="r" * 81, step="train", attempt=2)["menagerie.dev/run"]
    )


@pytest.mark.parametrize("value", ["-", "---", "_.-", "r" * 240, "-a-", "a b", "é"])
def test_a_label_begins_and_ends_with_a_letter_or_digit_and_has_a_hash_when_changed(value: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", pods.label(value))
    assert pods.label(value) != value
    assert pods.label(value) != pods.label(value + "-")


def test_a_label_that_needs_no_change_has_none() -> None:
    assert pods.label("manual__2026-11-21T06-31-00-00-00") == "manual__2026-11-21T06-31-00-00-00"
