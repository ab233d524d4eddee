"""The pipeline's steps, each with the arguments that a run gives it: its buckets, its Params and what earlier tasks found.

Those of a task that is not mapped are templates, filled in when the task runs and checked when the step parses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import menagerie_contract as contract

from menagerie.params import JUDGING, TRAINING
from menagerie.settings import settings

_ARRIVING = ("label_manifest", "allow", "new_classes")  # the Params that plan and sort are both told
_LIMITS = ("max_megapixels", "max_megabytes", "min_side", "max_aspect")
_SORTING = ("label_rule", "label_pattern", "max_bad", *_LIMITS)  # and those that sort alone is told
_EVALUATING = ("min_accuracy", "max_new", "on_drift", "review", "csv")

_RUN = "{{ run_id | run_name }}"
_CHAMPION = "{{ ti.xcom_pull(task_ids='champion') or '' }}"
_CANDIDATE = "{{ ti.xcom_pull(task_ids='train')['outputs']['version'] }}"
_DATASET = "{{ params.dataset_tag or ti.xcom_pull(task_ids='snapshot')['outputs']['tag'] }}"
_VERDICT = "{{ ti.xcom_pull(task_ids='promote')['outputs']['verdict'] }}"


def models() -> str:
    """The bucket that every step is told of."""
    return _bucket("models")


def plan() -> contract.Plan:
    # Airflow's form makes null of a text that is left empty.
    arriving: dict[str, Any] = {name: f"{{{{ params.{name} or '' }}}}" for name in _ARRIVING}
    return contract.Plan(**_every("plan"), source=_bucket("all"), range_size=_param("range_size"), **arriving)


def sort(run: str, params: Mapping[str, Any], plan: str) -> contract.Sort:
    """One range's, of the plan at that URI."""
    arriving: dict[str, Any] = {name: params[name] or "" for name in _ARRIVING}
    return contract.Sort(
        **_every(f"sort-{contract.plan_parts(plan)[0]:05d}", run),
        plan=plan,
        source=_bucket("all"),
        to_predict=_bucket("to_predict"),
        **{name: params[name] for name in _SORTING},
        **arriving,
    )


def predict(run: str, params: Mapping[str, Any], model: str, number: int, shards: tuple[str, ...]) -> contract.Predict:
    return contract.Predict(
        **_every(f"predict-{number:05d}", run),
        model=model,
        shards=shards,
        predicted=_bucket("predicted"),
        precision=params["precision"],
    )


def evaluate() -> contract.Evaluate:
    asked = _params(_EVALUATING)
    return contract.Evaluate(
        **_every("evaluate"), model=_CHAMPION, predicted=_bucket("predicted"), to_predict=_bucket("to_predict"), **asked
    )


def snapshot() -> contract.Snapshot:
    return contract.Snapshot(**_every("snapshot"), registry=settings().registry)


def train() -> contract.Train:
    asked = _params(TRAINING) | {"dataset_tag": _DATASET}
    return contract.Train(**_every("train"), registry=settings().registry, champion=_CHAMPION, **asked)


def judge() -> contract.Judge:
    return contract.Judge(**_every("judge"), candidate=_CANDIDATE, champion=_CHAMPION, **_params(JUDGING))


def promote() -> contract.Promote:
    return contract.Promote(**_every("promote"), candidate=_CANDIDATE, champion=_CHAMPION)


def snapshot_model() -> contract.Snapshot:
    return contract.Snapshot(
        **_every("snapshot-model"), registry=settings().registry, model=_CANDIDATE, verdict=_VERDICT
    )


def deploy() -> contract.Deploy:
    return contract.Deploy(**_every("deploy"), model=_CANDIDATE, **_website())


def _website() -> dict[str, Any]:
    """It is on this machine, or beside the pods; it shows the reports unless it is public: they have pictures."""
    wanted = settings()
    if not wanted.in_pods:
        return {"site": wanted.site, "url": wanted.site_url, "predicted": _bucket("predicted")}
    return {
        "predicted": "" if wanted.site_host else _bucket("predicted"),
        "target": "kubernetes",
        "namespace": wanted.namespace,
        "image": wanted.serve_image,
        "host": wanted.site_host,
        "expose": wanted.site_expose,
        "url": wanted.site_url,
        "timeout": 900.0,  # a new node may be needed, and the image is to be pulled
        **_params(("canary_percent", "canary_minutes")),
    }


def _every(name: str, run: str = _RUN) -> dict[str, Any]:
    """What every step is told: its run, the models bucket and where its result goes."""
    return {"run": run, "models": models(), "result": contract.result(models(), run, name)}


def _bucket(name: str) -> str:
    return settings().bucket(f"animals_{name}")


def _param(name: str) -> Any:
    return f"{{{{ params.{name} }}}}"


def _params(names: Iterable[str]) -> dict[str, Any]:
    return {name: _param(name) for name in names}
