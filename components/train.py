"""Component: training."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Metrics, Model, Output

from components import images


@dsl.component(base_image=images.NETWORK, install_kfp_package=False)
def train(
    training_record: str,
    model: str,
    out_savedmodel: str,
    trained: Output[Model],
    metrics: Output[Metrics],
    valid_records: list[str] = [],
    logdir: Optional[str] = None,
    learning_rate: float = 0.0002,
    lr_schedule: str = "constant",
    batch_size_train: int = 4,
    batch_size_valid: int = 4,
    epochs: int = 300,
    ckpt_dir: Optional[str] = None,
    save_best: bool = False,
    save_best_ref: str = "val_loss",
    all_metrics: bool = False,
    previews: bool = False,
    early_stopping: bool = False,
    strategy: str = "mirrored",
    shuffle_buffer_size: int = 512,
    seed: int = 0,
    time_limit_s: Optional[float] = None,
    use_dem: bool = True,
    experiment: str = "decloud",
    run_name: Optional[str] = None,
    overwrite: bool = False,
) -> NamedTuple("Trained", [("savedmodel", str), ("run_id", str)]):
    """Train a network; return the exported SavedModel and the MLflow run.

    Parameters
    ----------
    training_record
        Folder of the training records.
    model
        Name of the network.
    out_savedmodel
        Parent folder of the exported SavedModel.
    valid_records
        Folders of validation records; the first drives `val_*`.
    logdir
        TensorBoard folder.
    learning_rate
        Step size of the optimiser, per worker.
    lr_schedule
        constant, or cosine: falls to zero over the epochs or the time limit.
    batch_size_train
        Samples per training step and worker.
    batch_size_valid
        Samples per validation step and worker.
    epochs
        Passes over the training data; 0: build and export only.
    ckpt_dir
        Folder of the checkpoints an interrupted run goes on from.
    save_best
        Export the best epoch instead of the last.
    save_best_ref
        Monitored value.
    all_metrics
        Follow SSIM and SAM too.
    previews
        Pictures after each epoch.
    early_stopping
        Stop when the monitored value no longer falls.
    strategy
        mirrored or singlecpu.
    shuffle_buffer_size
        Samples among which the order is drawn.
    seed
        Same seed, same start.
    time_limit_s
        Stop when so many seconds are over; -1: no limit.
    use_dem
        Give the elevation to networks that can take it.
    experiment
        MLflow experiment.
    run_name
        Name of the MLflow run.
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
            out_savedmodel=out_savedmodel,
            valid_records=valid_records,
            logdir=logdir,
            learning_rate=learning_rate,
            lr_schedule=lr_schedule,
            batch_size_train=batch_size_train,
            batch_size_valid=batch_size_valid,
            epochs=epochs,
            ckpt_dir=ckpt_dir,
            save_best=save_best,
            save_best_ref=save_best_ref,
            all_metrics=all_metrics,
            previews=previews,
            early_stopping=early_stopping,
            strategy=strategy,
            shuffle_buffer_size=shuffle_buffer_size,
            seed=seed,
            time_limit_s=time_limit_s,
            use_dem=use_dem,
            experiment=experiment,
            run_name=run_name,
            overwrite=overwrite,
        )
    )
    result = stage.train(config)
    task.point(trained, result.savedmodel, network=model, run_id=result.run_id)
    task.write_metrics(metrics, {**result.metrics, "epochs": result.epochs})
    return result.savedmodel, result.run_id
