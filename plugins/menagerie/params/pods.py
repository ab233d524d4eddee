"""What may be asked where steps are pods."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param

POD_PARAMS = {
    "pods": Param(
        {},
        type="object",
        title="Pods",
        description='More or less for a step in this run: {"train": {"cpu": "8", "memory": "32Gi", "gpus": 1}}.',
    ),
    "canary_percent": Param(
        0,
        type="integer",
        minimum=0,
        maximum=90,
        title="Canary",
        description="Share of the website's pods that try a new model first, in percent. 0: none.",
    ),
    "canary_minutes": Param(
        10, type="number", minimum=0, maximum=90, title="Canary's time", description="Minutes it is watched."
    ),
}
