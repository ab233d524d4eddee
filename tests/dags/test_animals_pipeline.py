"""The DAG as Airflow sees it: what it imports, how it is wired, what it asks for, which command lines it renders."""

from __future__ import annotations

import ast
import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
from airflow.exceptions import ParamValidationError
from airflow.models.dagbag import DagBag
from airflow.providers.common.compat.sdk import TriggerRule
from menagerie.launchers.local import LocalStepOperator

from tests.plugins.airflow_home import BUCKETS, REGISTRY, REPO, SITE, SITE_URL

FORBIDDEN = {"torch", "torchvision", "fastai", "numpy", "pandas", "pyarrow", "openvino", "PIL", "model_service"}
STEPS = ("plan", "sort", "predict", "evaluate", "snapshot", "train", "judge", "promote", "deploy")


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(REPO / "dags", include_examples=False)


@pytest.fixture
def pipeline(bag: DagBag) -> Any:
    return bag.dags["animals_pipeline"]


def airflow_says(code: str) -> Any:
    """What a fresh interpreter with this Airflow prints last, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout.splitlines()[-1])


# Its imports.

PARSE_IN_A_BARE_PLACE = f"""
import importlib.abc, json, socket, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {FORBIDDEN}:
            raise ImportError(f"{{name}} is blocked")
def connect(*args):
    raise OSError("the network is blocked")
sys.meta_path.insert(0, Blocked())
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = connect
from airflow.models.dagbag import DagBag
bag = DagBag({str(REPO / "dags")!r}, include_examples=False)
print(json.dumps({{"dags": list(bag.dags), "errors": bag.import_errors}}))
"""


def test_it_imports_without_any_machine_learning_and_without_a_network() -> None:
    assert airflow_says(PARSE_IN_A_BARE_PLACE) == {"dags": ["animals_pipeline", "menagerie_doctor"], "errors": {}}


def imports(file: Path) -> Iterator[str]:
    """Top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def imported(*folders: str) -> set[str]:
    files = [file for folder in folders for file in (REPO / folder).rglob("*.py")]
    assert files
    return {name for file in files for name in imports(file)}


def test_the_coordinators_side_touches_no_pictures_and_no_models() -> None:
    assert imported("dags", "plugins") & FORBIDDEN == set()


def test_the_steps_know_nothing_of_airflow_or_the_coordinator() -> None:
    assert imported("model_service") & {"airflow", "menagerie"} == set()


def test_the_contract_needs_the_standard_library_alone() -> None:
    files = list((REPO / "plugins/menagerie_contract").glob("*.py"))
    assert len(files) > 1
    named = {name for file in files for name in imports(file)}
    assert named <= sys.stdlib_module_names | {"menagerie_contract"}


def test_no_step_imports_another() -> None:
    for name in (*STEPS, "serve"):
        file, package = REPO / f"model_service/{name}.py", REPO / f"model_service/{name}"
        for source in [file] if file.exists() else package.rglob("*.py"):
            tree = ast.walk(ast.parse(source.read_bytes()))
            named = {
                a.name for n in tree if isinstance(n, ast.ImportFrom) and n.module == "model_service" for a in n.names
            }
            assert named & {*STEPS} <= {name}, source


# How Airflow loads it.


def test_beside_it_is_the_doctor_and_there_is_no_import_error(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert list(bag.dags) == ["animals_pipeline", "menagerie_doctor"]


LOAD_PLUGINS = f"""
import json, sys
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
plugins_manager.initialize_ui_plugins()
print(json.dumps({{
    "errors": plugins_manager.import_errors,
    "plugins": [plugin.name for plugin in plugins_manager.plugins],
    "links": [view["href"] for view in plugins_manager.external_views],
    "executed": sorted(
        name for name, module in sys.modules.items()
        if (getattr(module, "__file__", None) or "").startswith({str(REPO / "plugins")!r})
    ),
}}))
"""


def test_airflow_loads_the_plugin_and_leaves_the_package_alone() -> None:
    """What .airflowignore is for: Airflow would execute menagerie/*.py once more, each as a module of its bare name."""
    found = airflow_says(LOAD_PLUGINS)
    assert found["errors"] == {}
    assert "menagerie" in found["plugins"]
    assert found["links"] == [SITE_URL]
    assert found["executed"] == [
        *("menagerie", "menagerie.documents", "menagerie.links", "menagerie.preimport"),
        *("menagerie.resources", "menagerie.settings", "menagerie.values"),
        *("menagerie_contract", "menagerie_contract.command_line", "menagerie_contract.layout"),
        *("menagerie_contract.models", "menagerie_contract.pictures", "menagerie_contract.step"),
        *("menagerie_contract.steps", "menagerie_contract.website", "menagerie_plugin"),
    ]


# What it promises.


def test_it_runs_once_a_day_one_run_at_a_time_and_does_not_catch_up(pipeline: Any) -> None:
    assert pipeline.timetable.summary == "30 14 * * *"
    assert pipeline.catchup is False
    assert pipeline.max_active_runs == 1


def test_every_task_is_retried_with_backoff_and_ends_in_time(pipeline: Any) -> None:
    for task in pipeline.tasks:
        assert task.retries == 2, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert task.max_retry_delay == timedelta(minutes=15), task.task_id
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=12), task.task_id


def test_report_and_card_are_buttons_on_the_tasks_that_make_them(pipeline: Any) -> None:
    linked = {task.task_id: [link.name for link in task.operator_extra_links] for task in pipeline.tasks}
    assert {task: names for task, names in linked.items() if names} == {"evaluate": ["Report"], "train": ["Model card"]}


def test_its_page_shows_the_road_of_a_picture(pipeline: Any) -> None:
    for name in (*STEPS, "animals_all", "label rule"):
        assert name in pipeline.doc_md


# The trigger form.


def test_the_form_can_be_sent_as_it_stands(pipeline: Any) -> None:
    assert pipeline.params.validate() == {
        "label_rule": "filename",
        "label_pattern": contract.LABEL_PATTERN,
        "label_manifest": "",
        "allow": "",
        "new_classes": "accept",
        "retrain": "when-needed",
        "deploy": True,
        "precision": "auto",
        "min_accuracy": 0.95,
        "max_new": 500,
        "on_drift": True,
        "review": 50,
        "csv": False,
        "max_bad": 0.2,
        "range_size": 50_000,
        "max_megapixels": 50,
        "max_megabytes": 50,
        "min_side": 32,
        "max_aspect": 20,
        "epochs": 10,
        "image_size": 224,
        "dataset_tag": "",
        "network": "resnet34",
        "warm_start": True,
        "weights": "auto",
        "progressive": 0.8,
        "augment": "auto",
        "batch_size": 32,
        "learning_rate": 3e-3,
        "mixup": 0.0,
        "label_smoothing": 0.1,
        "balance": "none",
        "new_weight": 1.0,
        "max_pictures": 1_000_000,
        "cache_gigabytes": 8.0,
        "patience": 0,
        "deterministic": False,
        "seed": 42,
        "tolerance": 0.0,
        "min_pictures": 100,
        "max_recall_loss": 0.05,
        "min_support": 20,
        "min_new_recall": 0.5,
        "max_ece_loss": 0.02,
        "max_latency_loss": 0.2,
        "approval": False,
        "approval_hours": 24,
    }


def test_every_field_of_the_form_has_a_type_a_title_and_a_description(pipeline: Any) -> None:
    for name in pipeline.params:
        param = pipeline.params.get_param(name)
        assert {"type", "enum"} & param.schema.keys(), name
        assert param.schema["title"], name
        assert param.description, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", "many"),
        ("image_size", 31),
        ("label_rule", "guess"),
        ("label_manifest", 7),
        ("allow", ["cat"]),
        ("new_classes", "ask"),
        ("retrain", "sometimes"),
        ("deploy", "yes"),
        ("weights", "mine"),
        ("weights", "file://weights.safetensors"),
        ("dataset_tag", "model_v1"),
        ("dataset_tag", "22"),
        ("network", "resnet34; rm"),
        ("warm_start", "no"),
        ("balance", "some"),
        ("batch_size", 1),
        ("tolerance", -0.1),
        ("min_pictures", 0),
        ("approval", "yes"),
        ("approval_hours", 0),
        ("precision", "f16"),
        ("min_accuracy", 1.1),
        ("max_bad", -0.1),
        ("range_size", 0),
        ("range_size", 50_001),
    ],
)
def test_the_form_refuses_what_no_step_could_use(pipeline: Any, name: str, value: object) -> None:
    form = copy.deepcopy(pipeline.params)
    with pytest.raises(ParamValidationError, match=f"Invalid input for param {name}"):
        form[name] = value


# Its wiring.


def test_the_road_from_a_picture_to_the_website(pipeline: Any) -> None:
    assert {task.task_id: task.downstream_task_ids for task in pipeline.tasks} == {
        "plan": {"plan_sort", "sort_totals"},
        "plan_sort": {"sort"},
        "sort": {"sort_totals"},
        "sort_totals": {"after_sort", "plan_predict"},
        "champion": {"after_sort", "plan_predict"},
        "after_sort": {"nothing_new", "plan_predict", "snapshot", "keep_champion"},
        "nothing_new": set(),
        "plan_predict": {"predict"},
        "predict": {"evaluate"},
        "evaluate": {"after_evaluate"},
        "after_evaluate": {"snapshot", "keep_champion"},
        "snapshot": {"train"},
        "train": {"judge"},
        "judge": {"after_judge"},
        "after_judge": {"approve", "promote", "keep_champion"},
        "approve": {"promote", "keep_champion"},
        "keep_champion": set(),
        "promote": {"after_promote"},
        "after_promote": {"snapshot_model", "deploy", "keep_champion"},
        "snapshot_model": set(),
        "deploy": set(),
    }


def test_sort_and_predict_are_mapped_over_their_plans_so_many_at_once(pipeline: Any) -> None:
    mapped = {task.task_id: task.max_active_tis_per_dagrun for task in pipeline.tasks if task.is_mapped}
    assert mapped == {"sort": 16, "predict": 64}


def test_only_where_roads_join_is_one_of_them_enough(pipeline: Any) -> None:
    joins = {task.task_id for task in pipeline.tasks if task.trigger_rule == TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS}
    assert joins == {"snapshot", "promote", "keep_champion"}
    others = {task.task_id: task.trigger_rule for task in pipeline.tasks if task.task_id not in joins}
    assert others.pop("sort_totals") == TriggerRule.NONE_FAILED  # when nothing is new, there is no sort
    assert set(others.values()) == {TriggerRule.ALL_SUCCESS}


# Its command lines.


RUN_ID = "manual__2026-11-21T06:31:00+00:00"


class Finished:
    """A task instance whose upstream tasks have said these things."""

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said

    def xcom_pull(self, task_ids: str) -> Any:
        return self._said[task_ids]


def rendered(pipeline: Any, task_id: str, champion: str | None = "v1", **params: Any) -> contract.Step:
    """The step that a task of the run RUN_ID starts, read back by the contract."""
    task = pipeline.get_task(task_id)
    assert isinstance(task, LocalStepOperator)
    said = {
        "champion": champion,
        "snapshot": {"outputs": {"tag": "dataset_v7"}},
        "train": {"outputs": {"version": "v2"}},
        "promote": {"outputs": {"promoted": True, "verdict": "file:///verdict.json"}},
    }
    context = {"run_id": RUN_ID, "params": pipeline.params.dump() | params, "ti": Finished(said)}
    return contract.parse(task.render_template(task.argv, context, pipeline.get_template_env()))


RUN = "manual__2026-11-21T06-31-00-00-00"
ALL, TO_PREDICT, MODELS = (f"file://{BUCKETS}/animals_{name}" for name in ("all", "to_predict", "models"))
ASKED = {"label_manifest": "labels of {{ ds }}.csv", "allow": "cat, O'Hara's {dog}", "new_classes": "hold"}
EMPTIED = {"label_manifest": None, "allow": None, "new_classes": "refuse"}  # as the form leaves texts that are cleared


def fields(step: str) -> dict[str, str]:
    return {"run": RUN, "models": MODELS, "result": f"{MODELS}/runs/{RUN}/{step}.json"}


def test_every_step_gets_its_arguments(pipeline: Any) -> None:
    assert rendered(pipeline, "plan") == contract.Plan(**fields("plan"), source=ALL)
    assert rendered(pipeline, "evaluate") == contract.Evaluate(
        **fields("evaluate"), model="v1", predicted=f"file://{BUCKETS}/animals_predicted", to_predict=TO_PREDICT
    )
    assert rendered(pipeline, "snapshot") == contract.Snapshot(**fields("snapshot"), registry=REGISTRY)
    assert rendered(pipeline, "train") == contract.Train(
        **fields("train"), registry=REGISTRY, dataset_tag="dataset_v7", champion="v1"
    )
    assert rendered(pipeline, "snapshot_model") == contract.Snapshot(
        **fields("snapshot-model"), registry=REGISTRY, model="v2", verdict="file:///verdict.json"
    )
    assert rendered(pipeline, "judge") == contract.Judge(**fields("judge"), candidate="v2", champion="v1")
    assert rendered(pipeline, "promote") == contract.Promote(**fields("promote"), candidate="v2", champion="v1")
    assert rendered(pipeline, "deploy") == contract.Deploy(
        **fields("deploy"),
        model="v2",
        site=f"file://{SITE}",
        url=SITE_URL,
        predicted=f"file://{BUCKETS}/animals_predicted",
    )


def test_what_a_person_asks_of_the_evaluation_reaches_it(pipeline: Any) -> None:
    asked = {"min_accuracy": 0.5, "max_new": 9, "on_drift": False, "review": 0, "csv": True}
    step = rendered(pipeline, "evaluate", **asked)
    assert isinstance(step, contract.Evaluate)
    assert {name: getattr(step, name) for name in asked} == asked


def test_what_a_person_asks_of_training_reaches_it(pipeline: Any) -> None:
    asked = {"epochs": 3, "network": "efficientnet_b0", "warm_start": False, "weights": "gs://w/x.safetensors"}
    asked |= {"mixup": 0.4, "balance": "oversample", "patience": 2, "deterministic": True, "seed": 7, "new_weight": 2.0}
    step = rendered(pipeline, "train", **asked)
    assert isinstance(step, contract.Train)
    assert {name: getattr(step, name) for name in asked} == asked


def test_an_old_dataset_is_trained_on_if_a_person_asks_for_it(pipeline: Any) -> None:
    step = rendered(pipeline, "train", dataset_tag="dataset_v3")
    assert isinstance(step, contract.Train)
    assert step.dataset_tag == "dataset_v3"
    emptied = rendered(pipeline, "train", dataset_tag=None)  # as the form leaves a text that is cleared
    assert isinstance(emptied, contract.Train)
    assert emptied.dataset_tag == "dataset_v7"


def test_what_a_person_asks_of_the_judge_reaches_it(pipeline: Any) -> None:
    asked = {"tolerance": 0.02, "min_pictures": 50, "max_recall_loss": 0.1, "min_support": 9, "min_new_recall": 0.3}
    asked |= {"max_ece_loss": 0.5, "max_latency_loss": 2.0}
    step = rendered(pipeline, "judge", **asked)
    assert isinstance(step, contract.Judge)
    assert {name: getattr(step, name) for name in asked} == asked


def test_snapshots_are_made_one_at_a_time_in_the_pool_that_is_set(pipeline: Any) -> None:
    for name in ("snapshot", "snapshot_model"):
        task = pipeline.get_task(name)
        assert (task.pool, task.max_active_tis_per_dag) == ("default_pool", 1)


def test_without_a_champion_its_name_is_empty(pipeline: Any) -> None:
    assert rendered(pipeline, "judge", None) == contract.Judge(**fields("judge"), candidate="v2")
    step = rendered(pipeline, "train", None)
    assert isinstance(step, contract.Train)
    assert step.champion == ""
    assert rendered(pipeline, "promote", None) == contract.Promote(**fields("promote"), candidate="v2")


def sorts(pipeline: Any, plans: list[str], **params: Any) -> list[contract.Step]:
    """What plan_sort makes of a plan."""
    given = pipeline.params.dump() | params
    callable_ = pipeline.get_task("plan_sort").python_callable
    return [contract.parse(argv) for argv in callable_({"outputs": {"plans": plans}}, given, RUN_ID)]


def test_plan_and_sort_are_told_the_same_of_what_arrives(pipeline: Any) -> None:
    uri = contract.plan(MODELS, RUN, 0, "c0ff")
    (step,) = sorts(pipeline, [uri], **ASKED)
    sort = contract.Sort(**fields("sort-00000"), **ASKED, plan=uri, source=ALL, to_predict=TO_PREDICT)
    assert step == sort
    plan = contract.Plan(**fields("plan"), **ASKED, source=ALL, range_size=7)
    assert rendered(pipeline, "plan", **ASKED, range_size=7) == plan


def test_a_text_that_the_form_left_empty_is_empty(pipeline: Any) -> None:
    (sort,) = sorts(pipeline, [contract.plan(MODELS, RUN, 0, "c0ff")], **EMPTIED)
    for step in (sort, rendered(pipeline, "plan", **EMPTIED)):
        assert isinstance(step, contract.Arriving)
        assert (step.label_manifest, step.allow, step.new_classes) == ("", "", "refuse")


def test_sort_is_planned_a_command_line_for_each_range(pipeline: Any) -> None:
    plans = [contract.plan(MODELS, RUN, n, "c0ff") for n in range(3)]
    asked = {"label_rule": "folder", "label_pattern": "(?P<label>x)", "max_bad": 0.5}
    asked |= {"max_megapixels": 9.5, "max_megabytes": 8, "min_side": 7, "max_aspect": 6}
    assert sorts(pipeline, plans, **asked) == [
        contract.Sort(**fields(f"sort-{n:05d}"), plan=uri, source=ALL, to_predict=TO_PREDICT, **asked)
        for n, uri in enumerate(plans)
    ]
    assert sorts(pipeline, []) == []


def test_predict_is_planned_a_command_line_for_each_shard(pipeline: Any) -> None:
    shards = [contract.shard(MODELS, f"{RUN}/{n:05d}-c0ff", split, 0) for n in range(2) for split in contract.SPLITS]
    assert predicts(pipeline, shards, precision="int8") == [
        contract.Predict(
            **fields(f"predict-{n:05d}"),
            model="v1",
            shards=(shard,),
            predicted=f"file://{BUCKETS}/animals_predicted",
            precision="int8",
        )
        for n, shard in enumerate(shards)
    ]


def test_with_more_shards_than_tasks_a_task_gets_several(pipeline: Any) -> None:
    shards = [contract.shard(MODELS, f"{RUN}/00000-c0ff", "train", n) for n in range(600)]
    steps = predicts(pipeline, shards)
    assert len(steps) == 256
    assert [shard for step in steps if isinstance(step, contract.Predict) for shard in step.shards] == shards


def predicts(pipeline: Any, shards: list[str], **params: Any) -> list[contract.Step]:
    """What plan_predict makes of what was sorted."""
    given = pipeline.params.dump() | params
    callable_ = pipeline.get_task("plan_predict").python_callable
    return [contract.parse(argv) for argv in callable_({"outputs": {"shards": shards}}, "v1", given, RUN_ID)]
