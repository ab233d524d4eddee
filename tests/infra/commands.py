"""Runs a page's shell blocks with recorders in the place of gcloud, kubectl and the like; gives what each was told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.configuration import ROOT

RECORDED = ("gcloud", "terraform", "kubectl", "curl", "git")
SDK = Path("/usr/lib/google-cloud-sdk")
# Writes its own name and arguments, NUL-separated, and answers what the page asks for. (git: a submitted build has no history.)
_RECORDER = """\
#!/bin/bash
printf '%s\\0' "${0##*/}" "$@" $'\\n' >> "$RECORD"  # in one write: a block may run two at once
case "${0##*/} $*" in
  *"output -raw buckets") printf gs://acme-dev- ;;
  *"output -raw"*) printf 'value-of-%s' "${@: -1}" ;;
  "git rev-parse --short="*) printf '%07d' 0 ;;
  "git rev-parse "*) printf '%040d' 0 ;;
  "git archive HEAD "*) tar --create -- "${@:3}" ;;
  *SERVE_IMAGE*) printf 'registry/serve@sha256:%064d' 0 ;;
esac
[ -t 0 ] || [ "${0##*/}" != kubectl ] || cat > /dev/null
"""


@dataclass(frozen=True)
class Page:
    """A page of documentation: its shell blocks, and the commands within its sentences."""

    text: str

    @property
    def blocks(self) -> list[str]:
        return re.findall(r"^```bash\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    @property
    def sentences(self) -> str:
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @property
    def inline(self) -> list[str]:
        """Commands in sentences and tables, but for the bare names of programs."""
        found = re.findall(r"`((?:gcloud|terraform|kubectl|operate|output) [^`]+)`", self.sentences)
        return [command.replace("\\|", "|") for command in found]


def executed(page: Page, folder: Path) -> list[list[str]]:
    """Each call of a recorded program, in order, as a shell makes it: [program, argument, …]."""
    for program in RECORDED:
        (folder / program).write_text(_RECORDER)
        (folder / program).chmod(0o755)
    script = "set -eu\n" + "\n".join([*page.blocks, *page.inline, "wait"])
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(folder / "record"), "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, **variables, "GIT_TOKEN": "t"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    record = (folder / "record").read_text()
    return [call.removeprefix("\0").removesuffix("\0").split("\0") for call in record.split("\n\0") if call]


@cache
def gcloud_tree() -> dict[str, Any]:
    """The SDK's own list of commands and flags, as its completion uses it. The SDK must be there."""
    sys.path.insert(0, str(SDK / "data" / "cli"))
    try:
        import gcloud_completions  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    tree: dict[str, Any] = gcloud_completions.STATIC_COMPLETION_CLI_TREE
    return tree


def gcloud_problem(words: list[str]) -> str | None:
    """What the SDK would not understand of `gcloud <words>`; None when all is known to it."""
    tree = gcloud_tree()
    node, flags, rest = tree, dict(tree["flags"]), list(words)
    while rest and rest[0] in node["commands"]:
        node = node["commands"][rest.pop(0)]
        flags |= node["flags"]
    if node["commands"]:
        return f"{' '.join(words)!r} is no command"
    own = rest[: rest.index("--")] if "--" in rest else rest
    for word in (word for word in own if word.startswith("--")):
        flag, given, _ = word.partition("=")
        if flag not in flags and flag.replace("--no-", "--", 1) not in flags:
            return f"{' '.join(words)!r}: it has no flag {flag}"
        if flag in flags and flags[flag] != "bool" and not given:
            return f"{' '.join(words)!r}: give {flag} its value with '='"
    return None


@cache
def help_of(*words: str) -> str:
    done = subprocess.run(list(words), capture_output=True, text=True, timeout=60, env=os.environ | _QUIET)
    return done.stdout + done.stderr


_QUIET = {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "KUBECONFIG": os.devnull}
# Reads `airflow …` commands from its arguments, one each, and has Airflow's own parser read them.
PARSE_WITH_AIRFLOW = textwrap.dedent(
    """
    import json, sys
    from airflow.cli import cli_parser
    parser = cli_parser.get_parser()
    for command in sys.argv[1:]:
        parser.parse_args(json.loads(command))
    """
)
