"""Component: training."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Metrics, Model, Output

from components import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def train(
    training_record: str,
    model: str,
    trained: Output[Model],
    metrics: Output[Metrics],
    valid_records: list[str] = [],
    out_savedmodel: Optional[str] = None,
    valid_only: bool = False,
    logdir: Optional[str] = None,
    learning_rate: float = 0.0002,
    scale_learning_rate: bool = True,
    lr_schedule: str = "constant",
    warmup_epochs: float = 0.0,
    lr_step_epochs: int = 10,
    lr_step_factor: float = 0.5,
    clip_norm: Optional[float] = None,
    mixed_precision: bool = False,
    augment: bool = False,
    hidden_weight: float = 1.0,
    clear_weight: float = 1.0,
    clear_target_only: bool = False,
    batch_size_train: int = 4,
    batch_size_valid: int = 4,
    epochs: int = 300,
    ckpt_dir: Optional[str] = None,
    ckpt_steps: Optional[int] = None,
    ckpt_minutes: float = 10.0,
    ckpt_keep: int = 2,
    load_ckpt_dir: Optional[str] = None,
    save_best: bool = False,
    save_best_ref: str = "val_loss",
    all_metrics: bool = False,
    previews: bool = False,
    early_stopping: bool = False,
    strategy: str = "mirrored",
    shuffle_buffer_size: int = 512,
    skip_damaged: bool = False,
    seed: int = 0,
    time_limit_s: Optional[float] = None,
    use_dem: bool = True,
    width: int = 16,
    verbose: bool = False,
    profiling: str = "0",
    plot_model: bool = False,
    experiment: Optional[str] = None,
    run_name: Optional[str] = None,
    pipeline_run: Optional[str] = None,
    parent_run_id: Optional[str] = None,
    overwrite: bool = False,
) -> NamedTuple("Trained", [("savedmodel", str), ("run_id", str)]):
    """Train a network; return the exported SavedModel and the MLflow run.

    Parameters
    ----------
    training_record
        Folder of the training records.
    model
        Name of the network.
    valid_records
        Folders of validation records; the first drives `val_*`.
    out_savedmodel
        Parent folder of the exported SavedModel; without it nothing is exported.
    valid_only
        Score the weights of the checkpoint and train nothing.
    logdir
        TensorBoard folder.
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
        Longest gradient.
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
        Samples per training step and device.
    batch_size_valid
        Samples per validation step and device.
    epochs
        Passes over the training data; 0: build and export only.
    ckpt_dir
        Folder of the checkpoints an interrupted run goes on from.
    ckpt_steps
        Keep the state every so many batches too.
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
        mirrored, multiworker or singlecpu.
    shuffle_buffer_size
        Samples among which the order is drawn.
    skip_damaged
        Leave out records whose checksum is wrong.
    seed
        Same seed, same start.
    time_limit_s
        Stop when so many seconds are over; -1: no limit.
    use_dem
        Give the elevation to networks that can take it.
    width
        Channels of networks that come in sizes.
    verbose
        Show how far each epoch is.
    profiling
        Batch, or first and last batch, to profile for TensorBoard.
    plot_model
        Draw the network's layers.
    experiment
        MLflow experiment.
    run_name
        Name of the MLflow run.
    pipeline_run
        Run of the pipeline, a label in MLflow.
    parent_run_id
        MLflow run that this one appears below.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import train as stage

    task.start()
    config = stage.TrainConfig(
        **task.given(
            training_record=training_record,
            model=model,
            valid_records=valid_records,
            out_savedmodel=out_savedmodel,
            valid_only=valid_only,
            logdir=logdir,
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
            verbose=verbose,
            profiling=profiling,
            plot_model=plot_model,
            experiment=experiment,
            run_name=run_name,
            pipeline_run=pipeline_run,
            parent_run_id=parent_run_id,
            overwrite=overwrite,
        )
    )
    result = stage.train(config)
    folder = result.savedmodel or ""
    task.point(trained, folder, network=model, run_id=result.run_id)
    task.write_metrics(metrics, {**result.metrics, "epochs": result.epochs})
    return folder, result.run_id
