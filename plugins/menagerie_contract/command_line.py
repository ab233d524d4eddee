"""A command line read back into its step; `--help` is made from the same fields."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from typing import Any, Literal

from menagerie_contract.layout import plan_parts, run_name
from menagerie_contract.pictures import Arriving, Sort
from menagerie_contract.step import LARGEST, VERSION, ContractError, Step
from menagerie_contract.steps import STEPS
from menagerie_contract.website import Operate


def parse(argv: list[str]) -> Step:
    """Read a command line back into its step. Raises ContractError; `--help` prints and exits as argparse does."""
    steps, chosen = STEPS, ""
    if argv[:1] == ["deploy"] and (asked := {"--status", "--rollback", "--teardown"} & set(argv)):
        if len(asked) > 1:
            raise ContractError(f"{' and '.join(sorted(asked))} exclude each other: give one")
        steps, chosen = STEPS | {"deploy": Operate}, f" deploy {asked.pop()}"
    elif argv and argv[0] in STEPS:
        chosen = f" {argv[0]}"
    top = parser(steps)
    top.prog += chosen  # by which it tells of arguments that it does not know
    values: dict[str, Any] = vars(top.parse_args(argv))
    step = steps[values.pop("step")]
    for f in dataclasses.fields(step):
        if f.metadata["positional"]:
            values[f.name] = _placed(f, values.pop(_place(f)), values[f.name], f"{top.prog} --help")
        value, least, most = values[f.name], f.metadata["least"], f.metadata["most"]
        if isinstance(value, (int, float)) and not least <= value <= most:
            raise ContractError(f"--{f.name.replace('_', '-')} is {value}; it must be from {least:.10g} to {most:.10g}")
    if values.get("run", "-") != run_name(values.get("run", "-")) or values.get("run") in ("", ".", ".."):
        raise ContractError(f"--run is {values['run']!r}; use letters, digits, '.', '_' and '-' only")
    values |= {
        name: values[name].rstrip("/") for name in ("models", "source", "to_predict", "predicted") if name in values
    }
    if issubclass(step, Arriving):
        _tell_apart({name: values[name] for name in ("source", "to_predict", "models") if name in values})
    if step is Sort and values["plan"]:
        plan_parts(values["plan"])
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return step(**arguments)


def _place(f: dataclasses.Field[Any]) -> str:
    """Where argparse keeps what was given by its place, apart from what was given by its name."""
    return f"{f.name} by place"


def _placed(f: dataclasses.Field[Any], by_place: Any, by_name: Any, help_: str) -> Any:
    """The value of an argument that has a place and a name: it was given by one of them, or has a default."""
    if by_place is not None and by_name is not None:
        raise ContractError(f"{f.name} is given twice, {by_place!r} and {by_name!r}: give one\nsee: {help_}")
    given = by_name if by_place is None else by_place
    if given is None and f.default is dataclasses.MISSING:
        raise ContractError(f"the following arguments are required: {f.name}\nsee: {help_}")
    return f.default if given is None else given


def _tell_apart(buckets: dict[str, str]) -> None:
    """What is sorted must not arrive again, so no two of the buckets may be one."""
    of: dict[str, str] = {}
    for name, uri in buckets.items():
        flag = f"--{name.replace('_', '-')}"
        if uri in of:
            raise ContractError(f"{of[uri]} and {flag} are both {uri!r}; they must be different buckets")
        of[uri] = flag


def parser(steps: dict[str, type[Step]] = STEPS) -> argparse.ArgumentParser:
    top = _Parser(prog="python -m model_service", description="Menagerie's steps, one command each.")
    commands = top.add_subparsers(dest="step", required=True, metavar="STEP", parser_class=_Parser)
    for name, step in steps.items():
        doc = (step.__doc__ or "").strip()
        sub = commands.add_parser(name, help=doc.splitlines()[0], description=doc)
        hints = typing.get_type_hints(step)
        for f in dataclasses.fields(step):
            _add(sub, f, hints[f.name])
    return top


class _Parser(argparse.ArgumentParser):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False)

    def error(self, message: str) -> typing.NoReturn:
        raise ContractError(f"{message}\nsee: {self.prog} --help")


def _add(sub: argparse.ArgumentParser, f: dataclasses.Field[Any], hint: Any) -> None:
    required = f.default is dataclasses.MISSING
    shown = "" if required or f.default is False else "true" if f.default is True else str(f.default)
    facts = [fact for fact in (shown and f"default: {shown}", _bounds(f), _choices(f, hint)) if fact]
    doc = f.metadata["doc"] + (f" ({'; '.join(facts)})" if facts else "")
    options: dict[str, Any] = {"required": required, "help": doc.replace("%", "%%")}
    if not required:
        options["default"] = f.default
    if typing.get_origin(hint) is Literal:
        options["choices"] = typing.get_args(hint)
    elif hint is bool:
        options |= {"nargs": "?", "const": True, "type": _truth, "metavar": "true|false"}
    elif typing.get_origin(hint) is tuple:
        options |= {"action": "append", "metavar": "URI"}
    else:
        reader = _version if f.name == "contract" else {int: _integer}.get(hint, hint)
        options |= {"type": reader, "metavar": hint.__name__.upper()}
    if f.metadata["positional"]:  # a place, and a name for values that begin with a dash
        options |= {"required": False, "default": None, "metavar": f.name}
        by_place = {key: value for key, value in options.items() if key != "required"}
        sub.add_argument(_place(f), nargs="?", **by_place)
        options["help"] = "the same by its name, for what begins with a dash"
    sub.add_argument(f"--{f.name.replace('_', '-')}", **options)


def _bounds(f: dataclasses.Field[Any]) -> str:
    """What a number may be, for its help."""
    least, most = f.metadata["least"], f.metadata["most"]
    if most != LARGEST:
        return f"from {least:.10g} to {most:.10g}"
    return f"at least {least:.10g}" if least > -LARGEST else ""


def _choices(f: dataclasses.Field[Any], hint: Any) -> str:
    """What an argument given by its place may be, for its help: there its name stands where others have their choices."""
    return ", ".join(typing.get_args(hint)) if f.metadata["positional"] and typing.get_origin(hint) is Literal else ""


def _integer(text: str) -> int:
    """Also `2.0`, which JSON Schema, and so Airflow's form, takes for an integer."""
    try:
        return int(text.removesuffix(".0"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None


def _truth(text: str) -> bool:
    """`true` or `false`, or as a template of the coordinator's writes them: `True`."""
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


def _version(text: str) -> str:
    if text != VERSION:
        raise argparse.ArgumentTypeError(
            f"this model_service speaks contract {VERSION}, the caller {text!r}: deploy dags, plugins and image of one release"
        )
    return text
