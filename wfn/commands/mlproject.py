"""The file MLproject, whose parameters follow the settings and the methods' options.

An entry point has its own parameters first; from ``method`` on they are made here, and so is the command's end.
"""

from pathlib import Path
from typing import Any

import yaml

from wfn.commands.options import CommandOption, command_options
from wfn.errors import UserError

TYPES: dict[type, str] = {float: "float", int: "int", str: "string", bool: "string"}  # bool: MLflow has no such type
HEAD = "# From method on, parameters and commands are made by `wfn mlproject`; a test holds them to the settings.\n"


def regenerated(path: Path) -> str:
    """The text of the MLproject file at ``path`` with its parameters as settings and methods have them now.

    Raises:
        UserError: there is no such file, or it is none of ours.
    """
    try:
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
        entry_points = project["entry_points"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not this project's MLproject ({error}): run it from the clone") from error
    lines = [HEAD + f"name: {project['name']}\n", f"conda_env: {project['conda_env']}\n", "entry_points:"]
    for name, entry in entry_points.items():
        lines += [f"  {name}:", *_entry(entry)]
    return "\n".join(lines) + "\n"


def _entry(entry: dict[str, Any]) -> list[str]:
    parameters, command = dict(entry.get("parameters", {})), entry["command"].split()
    start = command[: next((i for i, word in enumerate(command) if word.startswith("--")), len(command))]
    names = list(parameters)
    if "method" in names:
        own = {name: parameters[name] for name in names[: names.index("method")]}
        left_out = {*own} | (set() if start[-1] == "wfn" else {"resume", "trust"})
        parameters = own | {option.name: _parameter(option) for option in command_options(left_out)}
    handed_on = [name for name in parameters if f"{{{name}}}" not in start]
    return [
        "    parameters:",
        *(f"      {name}: {_declared(parameter)}" for name, parameter in parameters.items()),
        "    command: >-",
        f"      {' '.join(start)}",
        *(f"      --{name} {{{name}}}" for name in handed_on),
    ]


def _parameter(option: CommandOption) -> dict[str, Any]:
    if option.default is None:  # each method has another one
        return {"type": "string", "default": ""}
    default = str(option.default) if option.kind is bool else option.default
    return {"type": TYPES[option.kind], "default": default}


def _declared(parameter: dict[str, Any]) -> str:
    default = parameter.get("default")
    text = f'"{default}"' if isinstance(default, str) else default
    return f"{{type: {parameter['type']}{'' if default is None else f', default: {text}'}}}"
