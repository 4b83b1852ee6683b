"""Sampling: regions, search of the acquisition layouts, TFRecords."""

from kfp import dsl

from components.doctor import doctor
from components.make_roi import make_roi
from components.sample import sample
from pipelines.resources import SAMPLE, SMALL, sized


@dsl.pipeline(name="sampling", description="Prepared tiles to training and validation samples.")
def sampling(
    tiles: str,
    roi_dir: str,
    acquisition_train: str = "",
    output_train: str = "",
    acquisitions_valid: list[str] = [],
    outputs_valid: list[str] = [],
    acquisitions_test: list[str] = [],
    outputs_test: list[str] = [],
    datasets: list[str] = ["train", "valid"],
    props: list[float] = [0.8, 0.2],
    rois: list[str] = [],
    roi_mode: str = "restrict",
    patchsize: int = 256,
    squaresize: int = -1,
    guard: int = 0,
    n_samples_per_shard: int = 100,
    maxntrain: int = -1,
    maxnvalid: int = -1,
    maxntest: int = -1,
    with_20m_bands: bool = False,
    with_cloud_masks: bool = False,
    with_timestamps: bool = True,
    drop_remainder: bool = False,
    constant: bool = False,
    constant_nb: int = 10,
    oversampling: bool = False,
    oversampled_sets: list[str] = ["valid", "test"],
    season_months: list[str] = ["3-5", "6-8", "9-11", "12-2"],
    share_ground: bool = False,
    valid_every: int = 0,
    valid_dates: list[str] = [],
    test_dates: list[str] = [],
    guard_days: float = 0.0,
    conflicts: str = "all_pairs",
    check_leaks: bool = True,
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Split the tiles into regions, search samples and write them; returns how many there are.

    Parameters
    ----------
    tiles
        JSON list of tiles, made by the preprocessing.
    roi_dir
        Folder of the region rasters.
    acquisition_train
        Layout of the training data: a shipped name or a JSON file; empty: none.
    output_train
        Folder of the training records.
    acquisitions_valid
        Layouts of the validation data.
    outputs_valid
        Folders of the validation records, same order.
    acquisitions_test
        Layouts of the test data.
    outputs_test
        Folders of the test records, same order.
    datasets
        Names of the data sets.
    props
        Share of the ground that each data set gets, same order.
    rois
        Vector file with polygons for each data set, same order; empty text: none.
    roi_mode
        restrict: a data set with polygons takes only squares inside them; override: all ground is
        drawn, then squares inside polygons go to their data set.
    patchsize
        Side of a patch, 10 m pixels, a multiple of 64.
    squaresize
        Side of the squares that go to one data set as a whole; -1: the patch size.
    guard
        Width of the ground left out between data sets, 10 m pixels, a multiple of 64.
    n_samples_per_shard
        Samples per file.
    maxntrain
        At most so many training samples; -1: all.
    maxnvalid
        At most so many validation samples; -1: all.
    maxntest
        At most so many test samples; -1: all.
    with_20m_bands
        Add the 20 m bands.
    with_cloud_masks
        Add the cloud mask of each Sentinel-2 image.
    with_timestamps
        Keep the acquisition times.
    drop_remainder
        Leave out a last file that is not full.
    constant
        Take the same number of samples from each patch position.
    constant_nb
        With constant, most samples of a patch position.
    oversampling
        Take as many samples of each season, repeating those of small seasons.
    oversampled_sets
        With oversampling, the data sets that it is for.
    season_months
        With oversampling, the months of each season.
    share_ground
        Give all the ground to every data set: they are to be split by time.
    valid_every
        n: each n-th clear target date is kept for validation and test; 0: not in this way.
    valid_dates
        Days of the validation targets, FIRST/LAST, which training does not use.
    test_dates
        The same for the test targets.
    guard_days
        Days around such a date that training does not use.
    conflicts
        all_pairs: no Sentinel-2 image twice in a sample; historic: no such rule.
    check_leaks
        Keep neighbouring tiles apart; fail when a held-out target is in a training sample.
    seed
        Same seed, same regions and samples.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=roi_dir), SMALL)
    regions = make_roi(
        tiles=tiles,
        output_dir=roi_dir,
        datasets=datasets,
        props=props,
        rois=rois,
        roi_mode=roi_mode,
        patchsize=patchsize,
        squaresize=squaresize,
        guard=guard,
        seed=seed,
        share_ground=share_ground,
        overwrite=overwrite,
    )
    samples = sample(
        tiles=tiles,
        rois=sized(regions.after(checked), SMALL).outputs["Output"],
        acquisition_train=acquisition_train,
        output_train=output_train,
        acquisitions_valid=acquisitions_valid,
        outputs_valid=outputs_valid,
        acquisitions_test=acquisitions_test,
        outputs_test=outputs_test,
        patchsize=patchsize,
        n_samples_per_shard=n_samples_per_shard,
        maxntrain=maxntrain,
        maxnvalid=maxnvalid,
        maxntest=maxntest,
        with_20m_bands=with_20m_bands,
        with_cloud_masks=with_cloud_masks,
        with_timestamps=with_timestamps,
        drop_remainder=drop_remainder,
        constant=constant,
        constant_nb=constant_nb,
        oversampling=oversampling,
        oversampled_sets=oversampled_sets,
        season_months=season_months,
        seed=seed,
        valid_every=valid_every,
        valid_dates=valid_dates,
        test_dates=test_dates,
        guard_days=guard_days,
        conflicts=conflicts,
        check_leaks=check_leaks,
        overwrite=overwrite,
    )
    return sized(samples, SAMPLE).outputs["Output"]
