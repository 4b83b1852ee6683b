"""Component: search samples and write them."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def sample(
    tiles: str,
    rois: str,
    samples: Output[Dataset],
    metrics: Output[Metrics],
    acquisition_train: Optional[str] = None,
    output_train: Optional[str] = None,
    acquisitions_valid: list[str] = [],
    outputs_valid: list[str] = [],
    acquisitions_test: list[str] = [],
    outputs_test: list[str] = [],
    patchsize: int = 256,
    n_samples_per_shard: int = 100,
    maxntrain: Optional[int] = None,
    maxnvalid: Optional[int] = None,
    maxntest: Optional[int] = None,
    with_20m_bands: bool = False,
    with_cloud_masks: bool = False,
    with_timestamps: bool = True,
    drop_remainder: bool = False,
    constant: bool = False,
    constant_nb: int = 10,
    oversampling: bool = False,
    oversampled_sets: list[str] = ["valid", "test"],
    season_months: list[str] = ["3-5", "6-8", "9-11", "12-2"],
    seed: int = 0,
    valid_every: int = 0,
    valid_dates: list[str] = [],
    test_dates: list[str] = [],
    guard_days: float = 0.0,
    conflicts: str = "all_pairs",
    check_leaks: bool = True,
    workers: int = 0,
    overwrite: bool = False,
) -> int:
    """Search samples that fit an acquisition layout, write TFRecords; return how many there are.

    Parameters
    ----------
    tiles
        JSON list of tiles.
    rois
        JSON file of the regions.
    acquisition_train
        Layout of the training data: a shipped name or a JSON file.
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
    patchsize
        Side of a patch, 10 m pixels, a multiple of 64.
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
    seed
        Same seed, same samples.
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
    workers
        Threads that read and write; 0 takes the cores, at most 8.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import storage, task
    from decloud_lib.stages import sample as stage

    task.start()
    config = stage.SampleConfig(
        **task.given(
            tiles=tiles,
            rois=rois,
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
            workers=workers,
            overwrite=overwrite,
        )
    )
    result = stage.sample(config)
    counts = {storage.name_of(uri): n for uri, n in result.counts.items()}
    task.point(samples, storage.parent_of(min(result.counts)), **counts)
    task.write_metrics(metrics, counts)
    return sum(counts.values())
