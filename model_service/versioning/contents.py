"""What stands where in the registry, and how it is written: pointers to batches and models, parameters, metrics.

batches/<batch>.dvc   a folder each: shards and manifest      params.yaml    how the model of this commit was made
models/resnet34.dvc   the files of a version                  metrics.json   how good it is
.dvc/config           the remote `storage`, where data are    dvc.yaml       names the two to `dvc params` and `dvc metrics`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping
from typing import Any

import menagerie_contract as contract
import yaml

from model_service.errors import StepError
from model_service.versioning.repository import Repository

BATCHES = "batches"
MODEL = f"models/{contract.ARCHITECTURE}"
CONFIG, PARAMS, METRICS = ".dvc/config", "params.yaml", "metrics.json"
DATASETS, MODELS = "dataset_v", "model_v"  # tags, before their number
_CONFIG = """\
[core]
    remote = storage
    analytics = false
    check_update = false
['remote "storage"']
    url = {url}
"""
_PIPELINE = "params:\n  - params.yaml\nmetrics:\n  - metrics.json\n"
# Data are DVC's: git has what points to them.
_IGNORED = "/batches/**\n!/batches/**/\n!/batches/**/*.dvc\n/models/*\n!/models/*.dvc\n"
_README = """\
# A data registry of Menagerie

Each tag `dataset_v<N>` is a dataset: folders of shards in `batches/`. Each tag `model_v<N>` is a model that was promoted.
With DVC (`pip install 'dvc[gs]'`):

    dvc get <this repository> models/resnet34 --rev model_v3
    git clone <this repository> registry && cd registry && git checkout dataset_v3 && dvc pull
    dvc metrics diff model_v2 model_v3
    dvc params diff model_v2 model_v3
"""


def beginning(url: str) -> dict[str, bytes]:
    """The files of an empty registry, whose data are at that URL or in that folder."""
    return {
        CONFIG: _CONFIG.format(url=url).encode(),
        ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
        ".gitignore": _IGNORED.encode(),
        "dvc.yaml": _PIPELINE.encode(),
        PARAMS: b"{}\n",
        METRICS: b"{}\n",
        "README.md": _README.encode(),
    }


def pointer(batch: str) -> str:
    """The file that points to a batch's data."""
    return f"{BATCHES}/{batch}.dvc"


def batch_at(path: str) -> str:
    """The batch of that file, or ""."""
    return path.removeprefix(f"{BATCHES}/").removesuffix(".dvc") if path.endswith(".dvc") else ""


def described(pointer: bytes, facts: Mapping[str, Any]) -> bytes:
    """DVC's file with `meta`, which DVC keeps and does not read."""
    return pointer + dumped({"meta": dict(facts)})


def facts(pointer: bytes, where: str) -> dict[str, Any]:
    """What `described` put there. Raises StepError for a file that has none."""
    try:
        found: dict[str, Any] = _loaded(pointer)["meta"]
        if isinstance(found["manifest"], str) and type(found["place"]) is int:
            return found
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        pass
    raise StepError(
        f"{where} does not say which manifest its batch has: it was not written by snapshot, or changed since",
        remedy="bring it back as it was (git log tells), or name a tag from before",
    )


def dumped(params: Mapping[str, Any]) -> bytes:
    text: str = yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True)
    return text.encode()


def batches(repository: Repository, commit: str, without: Container[str] = ()) -> dict[str, dict[str, Any]]:
    """The batches of a commit or tag with their facts, in the order in which they were sorted; but for files `without`."""
    paths = [path for path in repository.names(commit, BATCHES) if batch_at(path) and path not in without]
    texts = repository.read([(commit, path) for path in paths])
    found = {batch_at(path): facts(text or b"", f"{commit}:{path}") for path, text in zip(paths, texts, strict=True)}
    return dict(sorted(found.items(), key=lambda item: (item[1]["place"], item[0])))


def gained(repository: Repository, tag: str) -> list[str]:
    """The batches that its commit added, in the order in which they were sorted."""
    parent = repository.parent_of(tag)
    before = set(repository.names(parent, BATCHES)) if parent else set()
    return list(batches(repository, tag, without=before))


def parameters(repository: Repository, tag: str) -> dict[str, Any]:
    """params.yaml of a tag. Raises StepError when it is damaged."""
    (text,) = repository.read([(tag, PARAMS)])
    return _mapping(f"{tag}:{PARAMS}", text, _loaded)


def metrics(repository: Repository, tag: str) -> dict[str, Any]:
    """metrics.json of a tag. Raises StepError when it is damaged."""
    (text,) = repository.read([(tag, METRICS)])
    return _mapping(f"{tag}:{METRICS}", text, json.loads)


def models(repository: Repository) -> dict[str, str]:
    """Version → its tag, of each model that has one."""
    tags = numbered(repository, MODELS)
    texts = repository.read([(tag, PARAMS) for tag in tags])
    params = (_mapping(f"{tag}:{PARAMS}", text, _loaded) for tag, text in zip(tags, texts, strict=True))
    return {str(one["version"]): tag for tag, one in zip(tags, params, strict=True) if one.get("version")}


def numbered(repository: Repository, kind: str) -> list[str]:
    """Its tags `<kind><N>`, the highest N last; not those that somebody else made, such as dataset_v2-old."""
    return [tag for tag in repository.tags(f"{kind}*") if tag.removeprefix(kind).isdecimal()]


def newest(repository: Repository, kind: str) -> str:
    """The tag `<kind><N>` with the highest N, or ""."""
    return (numbered(repository, kind) or [""])[-1]


def following(tag: str, kind: str) -> str:
    """The tag after it; the first one after ""."""
    return f"{kind}{int(tag.removeprefix(kind) or 0) + 1}"


def _loaded(text: bytes) -> Any:
    """YAML, by libyaml where it is: a registry has thousands of files."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe)


def _mapping(where: str, text: bytes | None, read: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        found = read(text or b"{}")
    except (ValueError, yaml.YAMLError) as error:
        raise StepError(f"{where} is damaged: {error}", remedy="bring it back as it was (git log tells)") from error
    return found if isinstance(found, dict) else {}
