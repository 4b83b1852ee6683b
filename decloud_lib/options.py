"""A configuration class as options of the command line, and options back to a configuration."""

import types
from datetime import date, time
from pathlib import PurePosixPath
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from decloud_lib.config import StageConfig, parse_values
from decloud_lib.errors import ConfigError, SettingsError

_METAVARS = {int: "INTEGER", float: "FLOAT", date: "YYYY-MM-DD", time: "HH:MM"}


def parameters_of(config_class: type[StageConfig]) -> list[click.Parameter]:
    """Return one option per field: name, type, help with unit and default, short names.

    A field marked as positional becomes an argument; its text goes into the command's help.

    The options have no default of their own: what is not given stays `None` (or an empty tuple), so
    that a configuration file can come between the command line and the class.

    Parameters
    ----------
    config_class
        Configuration class of a stage.
    """
    fields = config_class.model_fields
    # The fields of the base class are inherited first and matter least: they go last.
    names = [name for name in fields if name not in StageConfig.model_fields]
    # What must be given comes first.
    names.sort(key=lambda name: not fields[name].is_required())
    return [_parameter(name, fields[name]) for name in [*names, *StageConfig.model_fields]]


def arguments_text(config_class: type[StageConfig]) -> str:
    """Return what the help says of the positional arguments; empty when there are none."""
    fields = config_class.model_fields
    told = (
        f"{name.upper()}: {fields[name].description}"
        for name in fields
        if is_positional(fields[name])
    )
    return "\n\n".join(told)


def is_positional(field: FieldInfo) -> bool:
    """Say whether a field is given without the name of an option."""
    return bool(_extra(field).get("positional"))


def options_without_effect(names: dict[str, str]) -> list[click.Option]:
    """Return options of earlier versions that are accepted and do nothing.

    Parameters
    ----------
    names
        `--clean` for a flag, `--tmp TEXT` for an option with a value; why each does nothing.
    """
    made = []
    for spelling, why in names.items():
        name, _, metavar = spelling.partition(" ")
        arguments: dict[str, Any] = {"help": f"Without effect: {why}", "default": None}
        arguments |= {"metavar": metavar} if metavar else {"is_flag": True}
        made.append(click.Option([name, variable_of(spelling)], **arguments))
    return made


def variable_of(spelling: str) -> str:
    """Return under which name an option without effect is handed over."""
    return "without_effect_" + spelling.partition(" ")[0].lstrip("-").replace("-", "_")


def resolve_config(
    config_class: type[StageConfig], path: str | None, given: dict[str, Any]
) -> StageConfig:
    """Join options, configuration file and defaults, in this precedence.

    Parameters
    ----------
    config_class
        Configuration class of the stage.
    path
        URI of a JSON or YAML file with values by field name; None for none.
    given
        Values of the command line; None and empty tuples are not given.

    Raises
    ------
    click.UsageError
        A value that the class refuses; names the option.
    ConfigError
        A file that cannot be used.
    """
    options = {key: value for key, value in given.items() if value not in (None, ())}
    values = {**(_read_config(path) if path else {}), **options}
    for field in values:
        if field not in config_class.model_fields:
            known = ", ".join(config_class.model_fields)
            raise ConfigError(f"{path}: there is no field {field!r}; the fields are {known}")
    try:
        return config_class(**values)
    except SettingsError as error:
        names = {
            name: name.upper() if is_positional(field) else _name(name)
            for name, field in config_class.model_fields.items()
        }
        told = (f"{names[field]}: {text}" if field else text for field, text in error.problems)
        raise click.UsageError("; ".join(told)) from error


def _parameter(name: str, field: FieldInfo) -> click.Parameter:
    if is_positional(field):
        # A configuration file may give it: the class says when nobody does.
        return click.Argument([name], required=False)
    return _option(name, field)


def _option(name: str, field: FieldInfo) -> click.Option:
    annotation, repeatable = _plain_type(field.annotation)
    dashed = _name(name)
    flags: Any = _extra(field).get("flags", [])
    arguments: dict[str, Any] = {"default": None, "help": _help(field)}
    if annotation is bool:
        arguments["is_flag"] = True
        return click.Option(
            [f"{dashed}/{dashed.replace('--', '--no-', 1)}", *flags, name], **arguments
        )
    arguments["multiple"] = repeatable
    if get_origin(annotation) is Literal:
        arguments["type"] = click.Choice([str(choice) for choice in get_args(annotation)])
    elif annotation in (int, float):
        arguments["type"] = annotation
    else:
        # Dates and times go through as text: the class parses them.
        arguments["type"], arguments["metavar"] = str, _METAVARS.get(annotation, "TEXT")
    if repeatable:
        arguments["metavar"] = f"{_METAVARS.get(annotation, 'TEXT')}..."
    return click.Option([dashed, *flags, name], **arguments)


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """Return the type of one value and whether there may be several."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _plain_type(inner[0])
    if get_origin(annotation) in (tuple, list):
        return get_args(annotation)[0], True
    return annotation, False


def _help(field: FieldInfo) -> str:
    text = field.description or ""
    if field.is_required():
        return f"{text}  [required]"
    default = field.get_default(call_default_factory=True)
    if default in (None, (), ""):
        return text
    if isinstance(default, tuple):
        default = " ".join(str(item) for item in default)
    elif isinstance(default, bool):
        default = "on" if default else "off"
    return f"{text}  [default: {default}]"


def _read_config(path: str) -> dict[str, Any]:
    from decloud_lib import storage

    values = parse_values(storage.read_text(path), path, PurePosixPath(path).suffix)
    return {key.replace("-", "_"): value for key, value in values.items()}


def _name(field: str) -> str:
    return f"--{field.replace('_', '-')}"
