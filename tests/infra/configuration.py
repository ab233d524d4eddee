"""infra/ as its tests see it: parsed by python-hcl2, and the part that follows from variables alone evaluated by Terraform."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
RBAC = "model_service/deploy/manifests/rbac.yaml"  # infra/locals.tf reads it
FILES = sorted(INFRA.glob("*.tf"))
TFVARS = sorted(INFRA.glob("*.tfvars"))
# python-hcl2 keeps a block's comments and marks that it is one
_MARKS = {"__comments__", "__is_block__", "__inline_comments__"}
# Terraform's own words: in every resource
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "provisioner", "timeouts"}


@dataclass(frozen=True)
class Block:
    """A resource or data source: where it stands, its type, its name and its body."""

    file: str
    kind: str  # resource or data
    type: str
    name: str
    body: dict[str, Any]

    @property
    def address(self) -> str:
        return f"{'data.' if self.kind == 'data' else ''}{self.type}.{self.name}"


def bare(text: Any) -> Any:
    """A literal string without the quotes that python-hcl2 keeps."""
    return text[1:-1] if isinstance(text, str) and text[:1] == text[-1:] == '"' else text


@cache
def parsed(path: Path) -> dict[str, Any]:
    with path.open() as stream:
        return {key: value for key, value in hcl2.load(stream).items() if key not in _MARKS}


def items(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((bare(key), value) for key, value in body.items() if key not in _MARKS)


def variables() -> dict[str, dict[str, Any]]:
    return {
        name: dict(items(body))
        for path in FILES
        for one in parsed(path).get("variable", [])
        for name, body in items(one)
    }


def local_names() -> set[str]:
    return {name for path in FILES for one in parsed(path).get("locals", []) for name, _ in items(one)}


def blocks() -> list[Block]:
    """Every resource and data source, those inside a `check` too."""
    found = []
    for path in FILES:
        tree = parsed(path)
        checks = [body for one in tree.get("check", []) for _, body in items(one)]
        for kind in ("resource", "data"):
            for one in [*tree.get(kind, []), *(data for body in checks for data in body.get(kind, []))]:
                for kind_of, named in items(one):
                    found += [Block(path.name, kind, kind_of, name, body) for name, body in items(named)]
    return found


def words(body: Mapping[str, Any]) -> Iterator[str]:
    """Names of the arguments and nested blocks in a body. `dynamic "x" { content {…} }` is a block x."""
    for name, value in items(body):
        if name in META:
            continue
        if name == "dynamic":
            for one in value:
                for block, inner in items(one):
                    yield block
                    for content in inner["content"]:
                        yield from words(content)
            continue
        yield name
        for one in value if isinstance(value, list) else []:
            if isinstance(one, dict) and "__is_block__" in one:
                yield from words(one)


def literals(value: Any) -> Iterator[str]:
    """Strings that stand in a body as they are."""
    if isinstance(value, dict):
        for _, inner in items(value):
            yield from literals(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from literals(inner)
    elif isinstance(value, str) and value != bare(value):
        yield bare(value)


def uncommented(path: Path) -> str:
    """The file without comments; `#` inside quotes is kept."""
    return re.sub(r'("(?:[^"\\\n]|\\.)*")|#[^\n]*', lambda match: match[1] or "", path.read_text())


def run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Terraform without a configuration of the machine's, colours or questions."""
    quiet = {"TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_INPUT": "0"}
    command = ["terraform", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet, timeout=300, **options)


def workspace(folder: Path) -> Path:
    """A copy of what infra/ computes without a provider, with every value as an output; made ready for `evaluate`."""
    (folder / "infra").mkdir()
    shutil.copy(ROOT / "composer_requirements.txt", folder)
    pure = {name: (INFRA / name).read_text().split('\nresource "')[0] for name in PURE}
    for name, text in pure.items():
        (folder / "infra" / name).write_text(text)
    shutil.copytree(INFRA / "kubernetes", folder / "infra" / "kubernetes")
    (folder / RBAC).parent.mkdir(parents=True)
    shutil.copy(ROOT / RBAC, folder / RBAC)
    names = [
        name for text in pure.values() for name in re.findall(r"^  (\w+) += ", text.partition("locals {")[2], re.M)
    ]
    outputs = "\n".join(f'output "{name}" {{\n  value = local.{name}\n}}' for name in names)
    (folder / "infra" / "outputs.tf").write_text(f"{outputs}\n{_KUBERNETES}")
    made = run("init", "-no-color", cwd=folder / "infra")
    assert made.returncode == 0, made.stderr
    return folder / "infra"


def plan(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("plan", "-no-color", "-out=evaluated.tfplan", *options, cwd=folder)


def evaluate(folder: Path, *options: str) -> dict[str, Any]:
    planned = plan(folder, *options)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    shown = json.loads(run("show", "-json", "evaluated.tfplan", cwd=folder).stdout)
    return {name: output.get("value") for name, output in shown["planned_values"]["outputs"].items()}


PURE = ("variables.tf", "locals.tf", "monitoring.tf", "dashboard.tf")
# As outputs.tf does it, with a number in the place of the account's, which only Google knows.
_KUBERNETES = """
output "kubernetes" {
  value = join("", concat([for name in ["namespace", "website", "coordinator"] :
    templatefile("${path.module}/kubernetes/${name}.yaml", {
      namespace    = var.namespace
      emails       = local.emails
      coordinators = [local.emails["menagerie-composer"], "100000000000000000001"]
    })
  ], [local.access]))
}
"""
MISSING = None if shutil.which("terraform") else "Terraform (>= 1.9) is not on PATH: infra/ is parsed, not evaluated"
