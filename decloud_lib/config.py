"""What the configuration classes of all stages share."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from decloud_lib.errors import ConfigError, SettingsError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails


#: Fields that say how the work is done, and not what comes out.
_WITHOUT_INFLUENCE = {"overwrite", "quarantine"}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a JSON object ({error})") from error
    return found


JsonObject = Annotated[dict[str, Any], BeforeValidator(_parsed)]
"""A field that the command line gives as JSON."""


class StageConfig(BaseModel):
    """Base of a stage's configuration: frozen, and no unknown keys.

    The command line, the component's defaults and the documentation are made from the fields, so
    each field carries its unit, its bounds and its description. Paths are URIs: `s3://bucket/prefix`
    or a local path. `json_schema_extra={"flags": ["-lr"]}` on a field adds short option names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    overwrite: bool = Field(
        default=False, description="Replace an output that was made from other settings or inputs."
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            fields = type(self).model_fields
            problems = tuple(problem_of(item, fields) for item in error.errors())
            raise SettingsError(type(self).__name__, problems) from error

    def identity(self) -> dict[str, Any]:
        """Return what decides the output, as plain JSON values: all fields but a few."""
        return self.model_dump(mode="json", exclude=_WITHOUT_INFLUENCE)


def problem_of(item: "ErrorDetails", fields: Mapping[str, "FieldInfo"]) -> tuple[str, str]:
    """Return the field and, in words, what was found and what was expected.

    A text of another form is told by the examples of its field.
    """
    field = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] == "missing":
        return field, "nothing given, it is required"
    if item["type"] == "extra_forbidden":
        return field, "there is no such field"
    message = item["msg"].removeprefix("Value error, ")
    examples = fields[field].examples if field in fields else None
    if item["type"] == "string_pattern_mismatch" and examples:
        message = f"expected a text such as {', '.join(map(str, examples))}"
    return field, f"{message} (found {item['input']!r})" if field else message


def parse_values(text: str, name: str, suffix: str) -> dict[str, Any]:
    """Parse a file with values by field name.

    Parameters
    ----------
    text
        Its content.
    name
        Of the file, for messages.
    suffix
        `.yaml` or `.yml`; anything else is JSON.

    Raises
    ------
    ConfigError
        It cannot be parsed, or is no object.
    """
    try:
        values = _parse_yaml(text) if suffix in {".yaml", ".yml"} else json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name}: cannot be parsed ({error}); expected JSON or YAML") from error
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise ConfigError(f"{name}: expected one object with values by field name, found a {kind}")
    return {str(key): value for key, value in values.items()}


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigError(
            "reading YAML needs the package PyYAML; install it or write the file as JSON"
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
