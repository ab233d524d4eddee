"""argv → contract step → function → exit code: 0 done, 1 the step failed (its result says why), 2 a wrong command line."""

from __future__ import annotations

import importlib
import importlib.abc
import json
import logging
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn

import menagerie_contract as contract

from model_service import results
from model_service.addresses import scrubbed
from model_service.errors import StepError

log = logging.getLogger("menagerie")


def main(argv: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        step = contract.parse(argv)
    except contract.ContractError as error:
        print(f"menagerie: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    try:
        if isinstance(step, contract.Batch) and not (isinstance(step, contract.Doctor) and step.result == ""):
            return _run(step)
        _function(step)(step)
    except StepError as error:
        print(f"menagerie {step.name}: {error}" + (f"\n{error.remedy}" if error.remedy else ""), file=sys.stderr)
        return 1
    return 0


def _run(step: contract.Batch) -> int:
    """Run a step to its end and write its result, also when it fails. A step that already succeeded is not run again."""
    try:
        results.place(step.result, step.models)
        earlier = results.begin(step.result, again=step.converges)
    except StepError:
        if isinstance(step, contract.Doctor):  # whose table says more of a bucket that takes no result
            _function(step)(step)
        raise
    if earlier is not None:
        log.info("%s: done already, by an earlier attempt (%s)", step.name, earlier.get("message", ""))
        return 0
    started, clock = datetime.now(UTC), time.monotonic()
    argv = [scrubbed(word) for word in step.argv()]
    document: dict[str, Any] = {"step": step.name, "run": step.run, "contract": contract.VERSION, "argv": argv}
    try:
        outcome = _function(step)(step)
        document |= {"status": "ok", "message": outcome.message, "counts": outcome.counts, "outputs": outcome.outputs}
    except Exception as error:  # any failure ends in the result, where the coordinator looks for it
        document |= {"status": "failed", "error": _describe(error), "outputs": getattr(error, "outputs", {})}
        if not isinstance(error, StepError):
            traceback.print_exc()
    document |= {"started": started.isoformat(timespec="seconds"), "seconds": round(time.monotonic() - clock, 3)}
    document = results.finish(step.result, document)
    if document["status"] == "ok":
        log.info("%s: %s", step.name, document["message"])
        log.info("%s", json.dumps(document["counts"], ensure_ascii=False))
        return 0
    failure = document["error"]
    remedy = f"\nremedy: {failure['remedy']}" if failure["remedy"] else ""
    log.error("%s failed: %s%s", step.name, failure["message"], remedy)
    return 1


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """End in order when told to: the first process of a container ignores SIGTERM unless it says what it does."""
    sys.exit(128 + number)


def _function(step: contract.Step) -> Any:
    """The function of the same name in the step's module, imported only now: a step pays for its own imports alone."""
    return getattr(importlib.import_module(f"model_service.{step.name}"), step.name)


class _NoPandas(importlib.abc.MetaPathFinder):
    """To whoever imports it, it is not installed."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pyarrow does without pandas here", name=fullname)


def _hide_pandas_from_pyarrow() -> None:
    """It looks for pandas once, when it is first given a list, and imports it, which takes as long as all else that a sort
    imports. Others find pandas as ever.
    """
    sys.meta_path.insert(0, hiding := _NoPandas())
    import pyarrow

    pyarrow.array([0])
    sys.meta_path.remove(hiding)


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, StepError):
        return {"class": type(error).__name__, "message": error.message, "remedy": error.remedy, "retry": error.retry}
    return {"class": type(error).__name__, "message": str(error) or repr(error), "remedy": "", "retry": True}


if __name__ == "__main__":
    if sys.argv[1:2] in (["plan"], ["sort"], ["predict"]):
        _hide_pandas_from_pyarrow()
    sys.exit(main(sys.argv[1:]))
