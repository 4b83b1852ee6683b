"""The JSON grammar of layout files: pydantic models and strict parsers for the historic texts."""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError
from pydantic_core import ErrorDetails

from decloud_lib.acquisitions.sensing_layout import (
    AcquisitionsLayout,
    RandomInt,
    S1Acquisition,
    S2Acquisition,
)
from decloud_lib.errors import ConfigError

_OPTIONS = "options"
#: What pydantic says in the words of Python, in those of the file.
_EXPECTED = {
    "missing": "the key is missing",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "dict_type": "expected an object",
    "tuple_type": "expected a list",
    "string_type": "expected a text",
    "int_type": "expected a whole number",
    "too_long": "expected two numbers",
    "union_tag_not_found": 'expected "type": "S1" or "type": "S2"',
    "union_tag_invalid": 'expected "type": "S1" or "type": "S2"',
}
Model = TypeVar("Model", bound=BaseModel)


def _flag(value: object) -> object:
    """Accept true, false and the historic texts "True" and "False"."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise ValueError(f'expected true, false, "True" or "False", found {value!r}')


def _number(value: object) -> object:
    """Accept JSON numbers only: no texts and no true or false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {value!r}")
    return value


def _cloud_bound(value: object) -> object:
    """Accept a number, the historic text of a random number, or its JSON form."""
    if isinstance(value, str):
        return {"random_int": _from_text(value)}
    return value if isinstance(value, dict) else _number(value)


def _from_text(text: str) -> list[int]:
    try:
        found = RandomInt.from_text(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return [found.low, found.high]


def _pass(value: object) -> object:
    """Accept the names of the two passes; None = any."""
    names = {"asc": True, "ascending": True, "des": False, "desc": False, "descending": False}
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str) and value.lower() in names:
        return names[value.lower()]
    raise ValueError(f'expected "ASC", "DES", true, false or null, found {value!r}')


Flag = Annotated[bool, BeforeValidator(_flag)]
Number = Annotated[float, BeforeValidator(_number)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _RandomIntJson(_Strict):
    random_int: tuple[StrictInt, StrictInt]


class _S1Json(_Strict):
    type: Literal["S1"]
    orbit: Annotated[bool | None, BeforeValidator(_pass)] = None
    ascending: Annotated[bool | None, BeforeValidator(_pass)] = None

    def build(self) -> S1Acquisition:
        return S1Acquisition(self.orbit if self.orbit is not None else self.ascending)


class _S2Json(_Strict):
    type: Literal["S2"]
    min_cloud_percent: Annotated[_RandomIntJson | Number, BeforeValidator(_cloud_bound)] = 0
    max_cloud_percent: Number = 0

    def build(self) -> S2Acquisition:
        lowest = self.min_cloud_percent
        if isinstance(lowest, _RandomIntJson):
            return S2Acquisition(RandomInt(*lowest.random_int), self.max_cloud_percent)
        return S2Acquisition(lowest, self.max_cloud_percent)


class _AcquisitionJson(_Strict):
    acquisition: dict[str, Annotated[_S1Json | _S2Json, Field(discriminator="type")]]
    max_s1s2_gap_hours: Number | None = None
    timeframe_origin: Flag = False
    timeframe_start_hours: Number | None = None
    timeframe_end_hours: Number | None = None


class _OptionsJson(_Strict):
    siblings: tuple[tuple[str, ...], ...] = ()
    sibling: tuple[tuple[str, ...], ...] = ()


def parse_layout(text: str, source: str) -> AcquisitionsLayout:
    """Make a layout from the text of a layout file.

    Parameters
    ----------
    text
        JSON; its keys are the fields of the models of this module.
    source
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        What is wrong, with file and key.
    """
    try:
        content = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not a usable JSON file: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{source}: expected a JSON object with one entry per acquisition")
    options = _validated(_OptionsJson, content.pop(_OPTIONS, {}), source, _OPTIONS)
    layout = AcquisitionsLayout(options.siblings + options.sibling)
    for name, value in content.items():
        _add(layout, name, _validated(_AcquisitionJson, value, source, name), source)
    try:
        layout.check()
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return layout


def _add(layout: AcquisitionsLayout, name: str, read: _AcquisitionJson, source: str) -> None:
    kinds = [item.type for item in read.acquisition.values()]
    if len(kinds) > len(set(kinds)):
        raise ConfigError(f"{source}: {name}: two entries of one sensor; expected one at most")
    window = (read.timeframe_start_hours, read.timeframe_end_hours)
    if not read.timeframe_origin and None in window:
        raise ConfigError(
            f"{source}: {name}: timeframe_start_hours and timeframe_end_hours are both needed, "
            "or timeframe_origin = true"
        )
    s1 = [item.build() for item in read.acquisition.values() if isinstance(item, _S1Json)]
    try:
        s2 = [item.build() for item in read.acquisition.values() if isinstance(item, _S2Json)]
        layout.new_acquisition(
            name,
            s1_acquisition=s1[0] if s1 else None,
            s2_acquisition=s2[0] if s2 else None,
            max_s1s2_gap_hours=read.max_s1s2_gap_hours,
            timeframe_origin=read.timeframe_origin,
            timeframe_start_hours=window[0] or 0,
            timeframe_end_hours=window[1] or 0,
        )
    except ConfigError as error:
        raise ConfigError(f"{source}: {name}: {error}") from error


def _validated(model: type[Model], value: Any, source: str, name: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([name, *_keys(first["loc"])])
        raise ConfigError(f"{source}: {place}: {_reason(first, model)}") from error


def _keys(places: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the file that lead to a value; pydantic adds the branches of unions."""
    if places[:1] == ("acquisition",):
        # The entry's type stands behind its label.
        places = (*places[:2], *places[3:])
    return [str(part) for part in places if not str(part).startswith(("_", "function-"))]


def _reason(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {
            "S1": _S1Json,
            "S2": _S2Json,
            "_RandomIntJson": _RandomIntJson,
        }
        holder = next((models[str(p)] for p in reversed(error["loc"]) if p in models), model)
        return f"unknown key; known are {', '.join(holder.model_fields)}"
    expected = _EXPECTED.get(kind)
    if expected is None:
        return error["msg"].removeprefix("Value error, ")
    return expected if kind == "missing" else f"{expected}, found {error['input']!r}"


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
