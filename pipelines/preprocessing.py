"""Preprocessing: one task per delivered product, then the list of prepared tiles."""

from kfp import dsl

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
    tilesize: int = 256,
    assumed_hour_descending: str = "05:45:00",
    assumed_hour_ascending: str = "17:45:00",
    resampling: str = "bilinear",
    overwrite: bool = False,
) -> str:
    """Prepare all products of a bucket.

    Parameters
    ----------
    products
        Root of the delivered products (holds SENTINEL1, SENTINEL2, DEM).
    prepared
        Root of the prepared data, without a slash at its end.
    batch
        Products per task: 1 for full products, more for very small ones.
    tilesize
        Block of the Sentinel-2 rasters, 10 m pixels.
    assumed_hour_descending
        UTC time of day where a descending pass hides its own.
    assumed_hour_ascending
        UTC time of day where an ascending pass hides its own.
    resampling
        How the elevation is brought onto the grid.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    radar = list_products(products=products, prepared=prepared, family="s1", batch=batch)
    optical = list_products(products=products, prepared=prepared, family="s2", batch=batch)
    with dsl.ParallelFor(sized(radar, SMALL).output, parallelism=PARALLELISM) as pairs:
        radar_done = prepare_s1(
            input_s1_vh=pairs,
            out_s1_dir=f"{prepared}/S1_PREPARE",
            assumed_hour_descending=assumed_hour_descending,
            assumed_hour_ascending=assumed_hour_ascending,
            overwrite=overwrite,
        )
        sized(radar_done, PREPARE)
    with dsl.ParallelFor(sized(optical, SMALL).output, parallelism=PARALLELISM) as folders:
        optical_done = prepare_s2(
            in_image=folders,
            out_s2_dir=f"{prepared}/S2_PREPARE",
            tilesize=tilesize,
            overwrite=overwrite,
        )
        sized(optical_done, PREPARE)
    # A tile's elevation takes the grid of one of its prepared stacks.
    dems = sized(list_dems(products=products, prepared=prepared).after(optical_done), SMALL)
    with dsl.ParallelFor(dems.output, parallelism=PARALLELISM) as tile:
        dem_done = prepare_dem(
            dem=tile.dem,
            reference=tile.reference,
            output=tile.output,
            resampling=resampling,
            overwrite=overwrite,
        )
        sized(dem_done, PREPARE)
    tiles = make_tiles(prepared=prepared, output=f"{prepared}/tiles.json", overwrite=overwrite)
    return sized(tiles.after(radar_done, optical_done, dem_done), SMALL).output
