"""Verdicts as a crash, an editor or another program leaves them."""

from __future__ import annotations

import json

_SOUND = {"promote": True, "candidate": "v1", "champion": None, "reason": "better"}


def _with(**changed: object) -> str:
    return json.dumps(_SOUND | changed)


DAMAGED = {
    "empty": "",
    "cut": "{",
    "no text": "\ufeff{}",
    "a list": "[]",
    "null": "null",
    "nothing in it": "{}",
    "without champion": json.dumps({name: value for name, value in _SOUND.items() if name != "champion"}),
    "promote: yes": _with(promote="yes"),
    "candidate: 5": _with(candidate=5),
    "champion: 5": _with(champion=5),
    "reason: null": _with(reason=None),
    "overall: good": _with(overall="good"),
    "difference: a text": _with(difference={"value": "much"}),
    "rules: a list": _with(rules=[]),
    "rules: a text": _with(rules={"tolerance": "none"}),
    "seed: a text": _with(seed="x"),
}
