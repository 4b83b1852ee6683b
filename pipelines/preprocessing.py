"""Preprocessing: one task per delivered product, then the list of prepared tiles."""

from kfp import dsl

from components.doctor import doctor
from components.list_products import list_dems, list_products
from components.make_tiles import make_tiles
from components.prepare_dem import prepare_dem
from components.prepare_s1 import prepare_s1
from components.prepare_s2 import prepare_s2
from pipelines.resources import PARALLELISM, PREPARE, SMALL, sized


@dsl.pipeline(name="preprocessing", description="Delivered products to stacks, masks, statistics.")
def preprocessing(
    products: str,
    prepared: str,
    batch: int = 1,
    tiles: list[str] = [],
    start: str = "",
    end: str = "",
    mode: str = "convert",
    reflectance: str = "FRE",
    clm_bits: list[int] = [0, 1, 2, 3, 4, 5, 6, 7],
    scl_classes: list[int] = [3, 8, 9, 10],
    shadows: bool = True,
    boa_offset: int = -1,
    tilesize: int = 256,
    codec: str = "ZSTD",
    cog: bool = False,
    assumed_hour_descending: str = "05:45:00",
    assumed_hour_ascending: str = "17:45:00",
    dem: str = "",
    resampling: str = "bilinear",
    voids: str = "zero",
    overwrite: bool = False,
) -> str:
    """Prepare all products of a bucket; what fails goes to QUARANTINE and stops nothing else.

    Parameters
    ----------
    products
        Folder or prefix; products of all families are found at any depth.
    prepared
        Root of the prepared data, without a slash at its end.
    batch
        Products per task: 1 for full products, more for very small ones.
    tiles
        Only these tiles; all if none is named.
    start
        Nothing acquired before this day; empty for no bound.
    end
        Nothing acquired after this day; empty for no bound.
    mode
        convert, or statistics-only: the products are left as they were delivered.
    reflectance
        Of Theia products: FRE or SRE.
    clm_bits
        Bits of a Theia cloud mask that count as cloud.
    scl_classes
        Classes of an ESA scene classification that count as cloud.
    shadows
        Count cloud shadows.
    boa_offset
        Replaces the offset of ESA and STAC products, DN; -1 takes that of their metadata.
    tilesize
        Block of the Sentinel-2 rasters, 10 m pixels.
    codec
        ZSTD or DEFLATE.
    cog
        Write cloud-optimised GeoTIFFs.
    assumed_hour_descending
        UTC time of day where a descending pass hides its own.
    assumed_hour_ascending
        UTC time of day where an ascending pass hides its own.
    dem
        One elevation source for all tiles; empty: DEM/<TILE>.tif, where it was delivered.
    resampling
        How the elevation is brought onto the grid.
    voids
        What voids of the elevation become: zero, fill, keep or refuse.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=prepared), SMALL)
    radar = list_products(
        products=products, prepared=prepared, family="s1", batch=batch,
        tiles=tiles, start=start, end=end,
    )  # fmt: skip
    optical = list_products(
        products=products, prepared=prepared, family="s2", batch=batch,
        tiles=tiles, start=start, end=end,
    )  # fmt: skip
    radar, optical = (sized(found.after(checked), SMALL) for found in (radar, optical))
    with dsl.ParallelFor(radar.outputs["Output"], parallelism=PARALLELISM) as pairs:
        radar_done = prepare_s1(
            input_s1_vh=pairs.products,
            out_s1_dir=f"{prepared}/S1_PREPARE",
            mode=mode,
            assumed_hour_descending=assumed_hour_descending,
            assumed_hour_ascending=assumed_hour_ascending,
            codec=codec,
            cog=cog,
            quarantine=f"{prepared}/QUARANTINE",
            overwrite=overwrite,
            content=pairs.content,
        )
        sized(radar_done, PREPARE)
    with dsl.ParallelFor(optical.outputs["Output"], parallelism=PARALLELISM) as folders:
        optical_done = prepare_s2(
            in_image=folders.products,
            out_s2_dir=f"{prepared}/S2_PREPARE",
            mode=mode,
            reflectance=reflectance,
            clm_bits=clm_bits,
            scl_classes=scl_classes,
            shadows=shadows,
            boa_offset=boa_offset,
            tilesize=tilesize,
            codec=codec,
            cog=cog,
            quarantine=f"{prepared}/QUARANTINE",
            overwrite=overwrite,
            content=folders.content,
        )
        sized(optical_done, PREPARE)
    # A tile's elevation takes the grid of one of its prepared stacks.
    dems = list_dems(products=products, prepared=prepared, tiles=tiles, dem=dem)
    dems = sized(dems.after(optical_done), SMALL)
    with dsl.ParallelFor(dems.output, parallelism=PARALLELISM) as tile:
        dem_done = prepare_dem(
            dem=tile.dem,
            reference=tile.reference,
            output=tile.output,
            resampling=resampling,
            voids=voids,
            quarantine=f"{prepared}/QUARANTINE",
            overwrite=overwrite,
        )
        sized(dem_done, PREPARE)
    tiles = make_tiles(prepared=prepared, output=f"{prepared}/tiles.json", overwrite=overwrite)
    return sized(tiles.after(radar_done, optical_done, dem_done), SMALL).outputs["Output"]
