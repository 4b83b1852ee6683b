"""A delivered optical product, whatever its family: which file holds what, and how to read it."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from decloud_lib import storage
from decloud_lib.raster.products.names import S2Name

Family = Literal["theia", "esa", "stac"]
Reflectance = Literal["FRE", "SRE"]

#: Bits of a Theia cloud mask that hold shadows: the summary of clouds and shadows, shadows of
#: clouds inside the image, and of clouds outside (Theia, format of MAJA L2A products).
CLM_SHADOW_BITS = frozenset({0, 5, 6})
#: Class of ESA's scene classification that holds cloud shadows.
SCL_SHADOW_CLASS = 3
#: Highest class of ESA's scene classification.
_LAST_SCL_CLASS = 11


class OpticalSettings(BaseModel):
    """How delivered optical products are read; part of the settings of `prepare_s2`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reflectance: Reflectance = Field(
        default="FRE",
        description="Theia reflectance: FRE is corrected for slopes, SRE is not.",
    )
    clm_bits: tuple[int, ...] = Field(
        default=(0, 1, 2, 3, 4, 5, 6, 7),
        description="Bits of a Theia cloud mask that count as cloud, 0 to 7.",
    )
    scl_classes: tuple[int, ...] = Field(
        default=(3, 8, 9, 10),
        description="Classes of an ESA scene classification that count as cloud: 3 shadow, 8 and 9 "
        "cloud, 10 cirrus.",
    )
    shadows: bool = Field(
        default=True,
        description="Count cloud shadows; off takes away the CLM bits 0, 5, 6 and the SCL class 3.",
    )
    boa_offset: int | None = Field(
        default=None,
        description="Offset of ESA and STAC products that replaces what their metadata say, DN.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not set(self.clm_bits) <= set(range(8)):
            raise ValueError(f"CLM bits {self.clm_bits}: expected numbers from 0 to 7")
        if not set(self.scl_classes) <= set(range(1, _LAST_SCL_CLASS + 1)):
            raise ValueError(
                f"SCL classes {self.scl_classes}: expected numbers from 1 to {_LAST_SCL_CLASS}"
            )
        return self

    @property
    def cloud_bits(self) -> int:
        """Return the CLM bits that count, as one bit field."""
        away = frozenset() if self.shadows else CLM_SHADOW_BITS
        return sum(1 << bit for bit in set(self.clm_bits) - away)

    @property
    def cloud_classes(self) -> frozenset[int]:
        """Return the SCL classes that count."""
        away = frozenset() if self.shadows else frozenset({SCL_SHADOW_CLASS})
        return frozenset(self.scl_classes) - away


@dataclass(frozen=True, slots=True)
class BandFile:
    """One band of a delivered product; DN = rint(stored x scale + offset)."""

    path: str
    """What `open_raster` takes: a URI, a local path, or a member of an archive."""
    nodata: int
    """Stored value that marks no data."""
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class OpticalProduct:
    """A delivered product whose files are all there."""

    uri: str
    """The folder, archive or STAC item, without a trailing slash."""
    family: Family
    name: S2Name
    reflectance: Reflectance
    """`FRE` for ESA products too: they are corrected for the terrain."""
    bands: dict[str, BandFile]
    """The ten bands, by name."""
    cloud_mask: str | None
    """Theia's 10 m bit field CLM_R1."""
    edge_mask: str | None
    """Theia's 10 m mask EDG_R1; not 0 = outside the image."""
    scene_classification: str | None
    """ESA's 20 m classes SCL; 0 = no data."""
    facts: dict[str, str]
    """What is told of the product in the metadata of what is made from it."""
    entries: tuple[storage.Entry, ...]
    """The stored files it is read from."""
