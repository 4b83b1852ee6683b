"""Component: Sentinel-2 preparation."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Dataset, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def prepare_s2(
    in_image: list[str],
    out_s2_dir: str,
    prepared: Output[Dataset],
    mode: str = "convert",
    reflectance: str = "FRE",
    clm_bits: list[int] = [0, 1, 2, 3, 4, 5, 6, 7],
    scl_classes: list[int] = [3, 8, 9, 10],
    shadows: bool = True,
    boa_offset: Optional[int] = None,
    tilesize: int = 256,
    codec: str = "ZSTD",
    cog: bool = False,
    quarantine: Optional[str] = None,
    overwrite: bool = False,
    content: list[str] = [],  # noqa: ARG001
) -> int:
    """Turn Sentinel-2 products into stacks, masks and statistics; return how many were made.

    Parameters
    ----------
    in_image
        Delivered products: folders, .zip or STAC items.
    out_s2_dir
        Root of the prepared Sentinel-2 data.
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
        Replaces the offset of ESA and STAC products, DN.
    tilesize
        Block of the rasters, 10 m pixels; half of it at 20 m.
    codec
        ZSTD or DEFLATE.
    cog
        Write cloud-optimised GeoTIFFs.
    quarantine
        Folder for the reasons of products that fail; without it the task fails.
    overwrite
        Replace an output that was made from other settings or inputs.
    content
        State of each product, from the listing; Kubeflow's cache goes by it, the task does not.
    """
    from decloud_lib import task
    from decloud_lib.stages import prepare_s2 as stage

    task.start()
    config = stage.PrepareS2Config(
        in_image=in_image,
        out_s2_dir=out_s2_dir,
        mode=mode,
        reflectance=reflectance,
        clm_bits=clm_bits,
        scl_classes=scl_classes,
        shadows=shadows,
        tilesize=tilesize,
        codec=codec,
        cog=cog,
        overwrite=overwrite,
        **task.given(boa_offset=boa_offset, quarantine=quarantine),
    )
    return task.point_prepared(prepared, out_s2_dir, stage.prepare_s2(config))
