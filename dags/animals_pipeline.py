"""The continuous-training pipeline: the order of steps and their wiring, nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import TriggerRule, dag

# Named one by one: `@task.branch` and the like would search every provider while the file is parsed.
from airflow.providers.standard.decorators.branch_python import branch_task
from airflow.providers.standard.decorators.python import python_task
from menagerie import approval, decisions, documents, links, steps
from menagerie.launchers import fan_out, launch, reap
from menagerie.params import PARAMS, POD_PARAMS
from menagerie.settings import settings

DOC = """
### Pictures in, a better classifier out

```
animals_all ─ plan ─ sort ─┬─ predict (a task a shard) ─ evaluate ─┬─ snapshot ─ train ─ judge ─┬─ promote ─┬─ deploy ─ website
         (a task a range)  │                                       │                            │           └─ snapshot_model
                           ├─ no champion yet, or a dataset_tag ───┘                            └─ the champion was better:
                           └─ nothing new: done                                                    keep it
```

Drop `<label>_<n>.jpg` files (or `<label>/<any name>.jpg` with **label rule** *folder*; or any, and a table of names and labels,
with *manifest*) into **animals_all** and trigger, or wait for the schedule. Pictures that cannot be used are copied to
`animals_all/_quarantine/<reason>/`, those whose label is not allowed yet to `animals_all/_held/<label>/`; the report is
`animals_predicted/<run>/report.html`, and the button **Report** of *evaluate* leads to it. Every task may be cleared and run
again: nothing is lost and nothing happens twice.

*snapshot* tags what is trained on as `dataset_vN` in the data registry, *snapshot_model* a promoted model as `model_vN`. With a
**dataset tag** a run trains on what the tag names; with **Ask a person** a candidate that won waits for an approval.
"""

# One snapshot at a time in this Airflow; those of others are met by the registry itself.
ALONE = {"pool": settings().registry_pool, "max_active_tis_per_dag": 1}


@dag(
    dag_id="animals_pipeline",
    description="Plan, sort, predict, evaluate, snapshot, retrain, judge, promote, deploy",
    schedule=settings().schedule,  # 30 14 * * * unless MENAGERIE_SCHEDULE says otherwise
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=settings().retry_delay),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=2),
    },
    params=PARAMS | (POD_PARAMS if settings().in_pods else {}),
    doc_md=DOC,
    tags=["menagerie"],
    user_defined_filters={"run_name": contract.run_name},
)
def animals_pipeline() -> None:
    plan = launch(steps.plan(), task_id="plan")

    @python_task
    def plan_sort(result: dict[str, Any], params: dict[str, Any], run_id: str) -> list[list[str]]:
        """The command lines of the mapped sort tasks, one a range; none when nothing is new, and sort is skipped."""
        run = contract.run_name(run_id)
        return [steps.sort(run, params, uri).argv() for uri in result["outputs"]["plans"]]

    @python_task(trigger_rule=TriggerRule.NONE_FAILED)  # sort is skipped when nothing is new
    def sort_totals(planned: dict[str, Any], sorted_: Iterable[dict[str, Any]]) -> dict[str, Any]:
        totals = decisions.sort_totals(planned, sorted_)
        print(json.dumps(totals["counts"], ensure_ascii=False))
        return totals

    @python_task
    def champion(run_id: str) -> str | None:
        """The version in use when the run began: predicted with, judged against and replaced by this run alone."""
        return decisions.champion_before(
            documents.champion(contract.champion(steps.models())), contract.run_name(run_id)
        )

    @branch_task
    def after_sort(result: dict[str, Any], version: str | None, params: dict[str, Any]) -> str:
        way = decisions.after_sort(result["counts"], version, params["retrain"], params["dataset_tag"] or "")
        print(way.why)
        return way.task

    @python_task
    def nothing_new() -> str:
        return "nothing new arrived: the champion stays, nothing to do"

    @python_task
    def plan_predict(result: dict[str, Any], version: str, params: dict[str, Any], run_id: str) -> list[list[str]]:
        """The command lines of the mapped predict tasks, one a shard; with many shards, one for several of them."""
        run, groups = contract.run_name(run_id), decisions.shard_groups(result["outputs"]["shards"])
        return [steps.predict(run, params, version, number, tuple(some)).argv() for number, some in enumerate(groups)]

    evaluate = launch(steps.evaluate(), task_id="evaluate", links=[links.Report()])

    @branch_task
    def after_evaluate(result: dict[str, Any], params: dict[str, Any]) -> str:
        found, tag = result["outputs"], params["dataset_tag"] or ""
        way = decisions.after_evaluate(found["retrain"], found["reasons"], params["retrain"], tag)
        print(way.why)
        return way.task

    snapshot = launch(
        steps.snapshot(), task_id="snapshot", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, **ALONE
    )
    train = launch(steps.train(), task_id="train", links=[links.ModelCard()])
    judge = launch(steps.judge(), task_id="judge")

    @branch_task
    def after_judge(result: dict[str, Any], params: dict[str, Any]) -> str:
        way = decisions.after_judge(result["outputs"]["promote"], result["counts"]["reason"], params["approval"])
        print(way.why)
        return way.task

    approve = approval.ask(task_id="approve", approved="promote", rejected="keep_champion")

    @python_task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def keep_champion() -> str:
        return "the champion stays"

    promote = launch(
        steps.promote(),
        task_id="promote",
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,  # nobody is asked, or somebody has approved
    )

    @branch_task
    def after_promote(result: dict[str, Any], params: dict[str, Any]) -> list[str]:
        ways = decisions.after_promote(result["outputs"]["promoted"], result["message"], params["deploy"])
        print(ways.why)
        return ways.tasks

    snapshot_model = launch(steps.snapshot_model(), task_id="snapshot_model", **ALONE)
    deploy = launch(steps.deploy(), task_id="deploy")

    sort = fan_out(contract.Sort, plan_sort(plan.output), task_id="sort", max_active_tis_per_dagrun=16)
    totals = sort_totals(plan.output, sort.output)
    version, nothing, keep = champion(), nothing_new(), keep_champion()
    shares = plan_predict(totals, version)
    predict = fan_out(contract.Predict, shares, task_id="predict", max_active_tis_per_dagrun=64)

    after_sort(totals, version) >> [nothing, shares, snapshot, keep]
    predict >> evaluate
    after_evaluate(evaluate.output) >> [snapshot, keep]
    snapshot >> train >> judge
    after_judge(judge.output) >> [approve, promote, keep]
    approve >> [promote, keep]
    after_promote(promote.output) >> [snapshot_model, deploy, keep]
    if settings().in_pods:
        # After every task that starts pods itself: a task between two of them can fail while the first still runs.
        with_pods = [plan, sort, predict, evaluate, snapshot, train, judge, promote, snapshot_model, deploy]
        [nothing, keep, *with_pods] >> reap(task_id="reap")


animals_pipeline()
