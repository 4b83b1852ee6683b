"""What the configuration classes of all stages share."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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

    def identity(self) -> dict[str, Any]:
        """Return what decides the output: all fields but `overwrite`, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"overwrite"})
