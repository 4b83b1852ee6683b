"""Retraining: delivered products to a network that is compared with the one in use, in one run.

Kubeflow's local runner hands plain parameters and outputs to a pipeline within a pipeline, and no
texts that are put together from them: so each place is a parameter of its own.
"""

from kfp import dsl

from pipelines.preprocessing import preprocessing
from pipelines.reconstruction import reconstruction
from pipelines.sampling import sampling
from pipelines.training import training


@dsl.pipeline(name="retraining", description="Products to a challenger, and to a checked image.")
def retraining(
    products: str,
    prepared: str,
    layouts: list[str],
    layout: str,
    model: str,
    roi_dir: str,
    train_records: str,
    valid_records: list[str],
    test_records: list[str],
    models: str,
    ckpt_dir: str,
    scores: str,
    fingerprint: str = "",
    tiles: list[str] = [],
    start: str = "",
    end: str = "",
    batch: int = 1,
    props: list[float] = [0.8, 0.2],
    share_ground: bool = False,
    patchsize: int = 256,
    maxntrain: int = -1,
    maxnvalid: int = -1,
    with_20m_bands: bool = False,
    with_cloud_masks: bool = False,
    valid_every: int = 0,
    valid_dates: list[str] = [],
    guard_days: float = 0.0,
    baselines: list[str] = ["linear_gap_filling", "nearest_date"],
    learning_rate: float = 0.0002,
    lr_schedule: str = "constant",
    augment: bool = False,
    hidden_weight: float = 1.0,
    clear_weight: float = 1.0,
    clear_target_only: bool = False,
    batch_size_train: int = 4,
    batch_size_valid: int = 4,
    epochs: int = 300,
    time_limit_s: float = -1.0,
    save_best: bool = False,
    early_stopping: bool = False,
    use_dem: bool = True,
    width: int = 16,
    mixed_precision: bool = False,
    seed: int = 0,
    experiment: str = "",
    name: str = "decloud",
    alias: str = "champion",
    policy: str = "",
    check_s2: str = "",
    check_s1_dir: str = "",
    check_s2_dir: str = "",
    check_dem: str = "",
    check_image: str = "",
    overwrite: bool = False,
) -> str:
    """Prepare what is new, sample, train, compare and register, rebuild a date to look at.

    Parameters
    ----------
    products
        Folder or prefix of delivered products.
    prepared
        Root of the prepared data, shared by all retrainings.
    layouts
        Acquisition layouts of the validation samples.
    layout
        Acquisition layout of the training samples.
    model
        Name of the network.
    roi_dir
        Folder of the region rasters.
    train_records
        Folder of the training records.
    valid_records
        Folders of the validation records, in the order of their layouts.
    test_records
        Folders of the records that challenger and champion are scored on.
    models
        Parent of the model folder.
    ckpt_dir
        Folder of the checkpoints an interrupted run goes on from.
    scores
        Folder of the scores.
    fingerprint
        What the network is made from, for the tags of the version; empty: not known.
    tiles
        Only these tiles; all if none is named.
    start
        Nothing acquired before this day; empty for no bound.
    end
        Nothing acquired after this day; empty for no bound.
    batch
        Products per preparation task.
    props
        Share of the ground of training and validation.
    share_ground
        Give all the ground to both: they are to be split by time.
    patchsize
        Side of a patch, 10 m pixels, a multiple of 64.
    maxntrain
        At most so many training samples; -1: all.
    maxnvalid
        At most so many validation samples; -1: all.
    with_20m_bands
        Add the 20 m bands.
    with_cloud_masks
        Add the cloud mask of each Sentinel-2 image.
    valid_every
        n: each n-th clear target date is kept for validation; 0: not in this way.
    valid_dates
        Days of the validation targets, FIRST/LAST, which training does not use.
    guard_days
        Days around such a date that training does not use.
    baselines
        Deterministic models to score beside the network.
    learning_rate
        Step size of the optimiser.
    lr_schedule
        constant, cosine or step.
    augment
        Mirror and turn each training sample at random.
    hidden_weight
        Weight in the loss of pixels under cloud.
    clear_weight
        Weight in the loss of clear pixels.
    clear_target_only
        Leave out pixels where the target is cloudy.
    batch_size_train
        Samples per training step and device.
    batch_size_valid
        Samples per validation step and device.
    epochs
        Passes over the training data.
    time_limit_s
        Stop training when so many seconds are over; -1: no limit.
    save_best
        Export the best epoch instead of the last.
    early_stopping
        Stop when the monitored value no longer falls.
    use_dem
        Give the elevation to networks that can take it.
    width
        Channels of networks that come in sizes.
    mixed_precision
        Compute in bfloat16 on GPUs.
    seed
        Same seed, same regions, samples and start.
    experiment
        MLflow experiment; empty: the names of the data set and of its layout.
    name
        Name of the registered model.
    alias
        Alias of the model in use.
    policy
        Rules of promotion; empty: those shipped.
    check_s2
        Prepared product that is rebuilt at the end with the new network; empty: none.
    check_s1_dir
        Prepared Sentinel-1 folder of its tile.
    check_s2_dir
        Prepared Sentinel-2 folder of its tile.
    check_dem
        Prepared elevation of its tile; empty: none.
    check_image
        Image to write.
    overwrite
        Make samples, network and scores of this folder anew.
    """
    # Products that were delivered again replace what was prepared; all others stay as they are.
    prepared_tiles = preprocessing(
        products=products, prepared=prepared, batch=batch, tiles=tiles, start=start, end=end,
        overwrite=True,
    )  # fmt: skip
    sampled = sampling(
        tiles=prepared_tiles.output,
        roi_dir=roi_dir,
        acquisition_train=layout,
        output_train=train_records,
        acquisitions_valid=layouts,
        outputs_valid=valid_records,
        props=props,
        share_ground=share_ground,
        patchsize=patchsize,
        maxntrain=maxntrain,
        maxnvalid=maxnvalid,
        with_20m_bands=with_20m_bands,
        with_cloud_masks=with_cloud_masks,
        valid_every=valid_every,
        valid_dates=valid_dates,
        guard_days=guard_days,
        seed=seed,
        overwrite=overwrite,
    )
    trained = training(
        training_record=train_records,
        valid_records=valid_records,
        test_records=test_records,
        out_savedmodel=models,
        ckpt_dir=ckpt_dir,
        scores=scores,
        model=model,
        baselines=baselines,
        learning_rate=learning_rate,
        lr_schedule=lr_schedule,
        augment=augment,
        hidden_weight=hidden_weight,
        clear_weight=clear_weight,
        clear_target_only=clear_target_only,
        batch_size_train=batch_size_train,
        batch_size_valid=batch_size_valid,
        epochs=epochs,
        time_limit_s=time_limit_s,
        save_best=save_best,
        early_stopping=early_stopping,
        use_dem=use_dem,
        width=width,
        mixed_precision=mixed_precision,
        seed=seed,
        experiment=experiment,
        name=name,
        alias=alias,
        policy=policy,
        fingerprint=fingerprint,
        overwrite=overwrite,
    ).after(sampled)
    with dsl.If(check_s2 != "", "check"):
        reconstruction(
            in_s2=check_s2,
            output=check_image,
            savedmodel=trained.output,
            s1_dir=check_s1_dir,
            s2_dir=check_s2_dir,
            dem=check_dem,
            overwrite=True,
        )
    return trained.output
