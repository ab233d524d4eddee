"""What must not be logged of the tracking servers: their answers may repeat what they were called with."""

from __future__ import annotations

import os
import re

from model_service import addresses

_SECRET = re.compile(r"(MLFLOW|WANDB)_.*(KEY|TOKEN|PASSWORD|SECRET)")


def scrubbed(text: str) -> str:
    """Without the logins in URLs, and without the values of this process's variables that hold secrets."""
    text = addresses.scrubbed(text)
    for name, value in os.environ.items():
        if value and _SECRET.fullmatch(name):
            text = text.replace(value, "***")
    return text
