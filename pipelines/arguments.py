"""Arguments of a pipeline as people write them: checked before anything is sent."""

import difflib
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from decloud_lib.errors import ConfigError

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_PLURALS = {str: "texts", int: "whole numbers", float: "numbers", bool: "true or false"}


def parse_arguments(pipeline: Callable[..., Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `name=value` texts into the arguments of a pipeline.

    Parameters
    ----------
    pipeline
        The pipeline; its signature says what each value must be.
    pairs
        Texts `NAME=VALUE`. VALUE is JSON but for texts, which need no quotes.

    Returns
    -------
    Values by name; those with a default may be absent.

    Raises
    ------
    ConfigError
        No `NAME=VALUE`, a name given twice or that the pipeline does not know, a value of another
        type, or a value missing that has no default.
    """
    parameters = signature(pipeline).parameters
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise ConfigError(f"{pair!r} is no parameter; expected NAME=VALUE")
        if name not in parameters:
            raise ConfigError(_unknown(name, list(parameters)))
        if name in arguments:
            raise ConfigError(f"parameter {name} is given twice; give it once")
        arguments[name] = _value(name, text, parameters[name].annotation)
    missing = [
        f"{name} ({_described(parameter.annotation)})"
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in arguments
    ]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}; give each as -p NAME=VALUE")
    return arguments


def signature(pipeline: Callable[..., Any]) -> inspect.Signature:
    """Return the signature that a pipeline was written with."""
    return inspect.signature(getattr(pipeline, "pipeline_func", pipeline))


def _value(name: str, text: str, kind: Any) -> Any:
    if kind is str and not (len(text) > 1 and text[0] == text[-1] == '"'):
        return text
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError(
            f"parameter {name}: found {text!r}, expected {_described(kind)}"
        ) from error


def _described(kind: Any) -> str:
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        example = {str: ["a", "b"], int: [1, 2], float: [0.8, 0.2]}.get(item, [])
        return f"a list of {_PLURALS.get(item, 'values')} as JSON, such as '{json.dumps(example)}'"
    return _WORDS.get(kind, "a JSON object")


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}" if close else ""
    return f"unknown parameter {name}{hint}; known are {', '.join(known)}"
