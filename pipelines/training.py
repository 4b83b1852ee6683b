"""Training: train a network, score it beside baselines, register it."""

from kfp import dsl

from components.doctor import doctor
from components.evaluate import evaluate
from components.promote import promote
from components.train import train
from pipelines.resources import EVALUATE, SMALL, TRAIN, sized


@dsl.pipeline(name="training", description="Samples to a scored and registered network.")
def training(
    training_record: str,
    valid_records: list[str],
    out_savedmodel: str,
    test_records: list[str],
    scores: str,
    model: str = "crga_os2_david",
    baselines: list[str] = ["linear_gap_filling", "nearest_date"],
    learning_rate: float = 0.0002,
    scale_learning_rate: bool = True,
    lr_schedule: str = "constant",
    warmup_epochs: float = 0.0,
    lr_step_epochs: int = 10,
    lr_step_factor: float = 0.5,
    clip_norm: float = -1.0,
    mixed_precision: bool = False,
    augment: bool = False,
    hidden_weight: float = 1.0,
    clear_weight: float = 1.0,
    clear_target_only: bool = False,
    batch_size_train: int = 4,
    batch_size_valid: int = 4,
    epochs: int = 300,
    time_limit_s: float = -1.0,
    ckpt_dir: str = "",
    ckpt_steps: int = -1,
    ckpt_minutes: float = 10.0,
    ckpt_keep: int = 2,
    load_ckpt_dir: str = "",
    save_best: bool = False,
    save_best_ref: str = "val_loss",
    all_metrics: bool = False,
    previews: bool = False,
    early_stopping: bool = False,
    strategy: str = "mirrored",
    shuffle_buffer_size: int = 512,
    skip_damaged: bool = False,
    seed: int = 0,
    use_dem: bool = True,
    width: int = 16,
    experiment: str = "",
    run_name: str = "",
    name: str = "decloud",
    alias: str = "champion",
    policy: str = "",
    fingerprint: str = "",
    overwrite: bool = False,
) -> str:
    """Train, evaluate on held-out samples, register and promote; returns the new version's URI.

    Parameters
    ----------
    training_record
        Folder of the training records.
    valid_records
        Folders of validation records; the first drives `val_*`.
    out_savedmodel
        Parent folder of the exported SavedModel.
    test_records
        Folders of the records to score on.
    scores
        Folder of the scores.
    model
        Name of the network.
    baselines
        Deterministic models to score beside the network.
    learning_rate
        Step size of the optimiser, per device.
    scale_learning_rate
        Multiply it with the number of devices.
    lr_schedule
        constant; cosine: falls to zero over the epochs or the time limit; step: see below.
    warmup_epochs
        Epochs in which the learning rate rises from zero.
    lr_step_epochs
        Epochs between two steps of the schedule `step`.
    lr_step_factor
        What each step multiplies the learning rate with.
    clip_norm
        Longest gradient; -1: none.
    mixed_precision
        Compute in bfloat16 on GPUs.
    augment
        Mirror and turn each training sample at random.
    hidden_weight
        Weight in the loss of pixels under cloud.
    clear_weight
        Weight in the loss of clear pixels.
    clear_target_only
        Leave out pixels where the target is cloudy.
    batch_size_train
        Samples per training step and worker.
    batch_size_valid
        Samples per validation step and worker.
    epochs
        Passes over the training data.
    time_limit_s
        Stop when so many seconds are over; -1: no limit.
    ckpt_dir
        Folder of the checkpoints an interrupted run goes on from; empty: none.
    ckpt_steps
        Keep the state every so many batches too; -1: none.
    ckpt_minutes
        Keep the state so often within an epoch, minutes.
    ckpt_keep
        Number of last states that stay.
    load_ckpt_dir
        Begin from the weights of another training's checkpoint.
    save_best
        Export the best epoch instead of the last.
    save_best_ref
        Monitored value.
    all_metrics
        Follow SSIM and SAM too.
    previews
        Pictures before the first epoch and after each.
    early_stopping
        Stop when the monitored value no longer falls.
    strategy
        mirrored or singlecpu.
    shuffle_buffer_size
        Samples among which the order is drawn.
    skip_damaged
        Leave out records whose checksum is wrong.
    seed
        Same seed, same start.
    use_dem
        Give the elevation to networks that can take it.
    width
        Channels of networks that come in sizes.
    experiment
        MLflow experiment; empty: the names of the data set and of its layout.
    run_name
        Name of the MLflow run; empty: model, data set and commit.
    name
        Name of the registered model.
    alias
        Alias of the version in use, which a better network takes over.
    policy
        Rules of promotion; empty: those shipped.
    fingerprint
        What the network is made from, for the tags of the version; empty: not known.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=out_savedmodel, mlflow=True), SMALL)
    trained = train(
        training_record=training_record,
        model=model,
        out_savedmodel=out_savedmodel,
        valid_records=valid_records,
        learning_rate=learning_rate,
        scale_learning_rate=scale_learning_rate,
        lr_schedule=lr_schedule,
        warmup_epochs=warmup_epochs,
        lr_step_epochs=lr_step_epochs,
        lr_step_factor=lr_step_factor,
        clip_norm=clip_norm,
        mixed_precision=mixed_precision,
        augment=augment,
        hidden_weight=hidden_weight,
        clear_weight=clear_weight,
        clear_target_only=clear_target_only,
        batch_size_train=batch_size_train,
        batch_size_valid=batch_size_valid,
        epochs=epochs,
        ckpt_dir=ckpt_dir,
        ckpt_steps=ckpt_steps,
        ckpt_minutes=ckpt_minutes,
        ckpt_keep=ckpt_keep,
        load_ckpt_dir=load_ckpt_dir,
        save_best=save_best,
        save_best_ref=save_best_ref,
        all_metrics=all_metrics,
        previews=previews,
        early_stopping=early_stopping,
        strategy=strategy,
        shuffle_buffer_size=shuffle_buffer_size,
        skip_damaged=skip_damaged,
        seed=seed,
        time_limit_s=time_limit_s,
        use_dem=use_dem,
        width=width,
        experiment=experiment,
        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_name=run_name,
        overwrite=overwrite,
    )
    sized(trained.after(checked), TRAIN)
    scored = evaluate(
        test_records=test_records,
        output=scores,
        savedmodel=trained.outputs["savedmodel"],
        baselines=baselines,
        batch_size=batch_size_valid,
        run_id=trained.outputs["run_id"],
        experiment=experiment,
        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        skip_damaged=skip_damaged,
        overwrite=overwrite,
    )
    sized(scored, EVALUATE)
    registered = promote(
        savedmodel=trained.outputs["savedmodel"],
        run_id=trained.outputs["run_id"],
        test_records=test_records,
        policy=policy,
        output=f"{scores}/promotion",
        name=name,
        alias=alias,
        fingerprint=fingerprint,
        batch_size=batch_size_valid,
        skip_damaged=skip_damaged,
        overwrite=overwrite,
    )
    return sized(registered.after(scored), EVALUATE).outputs["Output"]
