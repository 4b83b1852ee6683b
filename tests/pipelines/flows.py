"""Tiny pipelines that need no stage, for the tests of the local runner."""

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output

IMAGE = "decloud:test"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def list_words(words: list[str]) -> list[list[str]]:
    return [[word, word.upper()] for word in words]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def keep(words: list[str], folder: str, data: Output[Dataset], factor: float = 1.0) -> str:
    import logging
    import time
    from pathlib import Path

    from decloud_lib import task
    from decloud_lib.errors import ProductError

    task.start()
    logging.getLogger("flow").info("the words are %s", " ".join(words))
    if words[0] == "bad":
        raise ProductError("found 'bad', expected a good word; take another")
    if words[0] == "slow":
        Path(folder, "slow.started").touch()
        time.sleep(60)
    path = Path(folder, f"{words[0]}.txt")
    path.write_text(f"{words[1]} {factor} {type(factor).__name__}")
    task.point(data, str(path), letters=len(words[0]))
    return str(path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count(folder: str, metrics: Output[Metrics]) -> int:
    from pathlib import Path

    from decloud_lib import task

    found = len(list(Path(folder).glob("*.txt")))
    task.write_metrics(metrics, {"files": found})
    return found


@dsl.pipeline(name="words")
def words_pipeline(words: list[str], folder: str, factor: float = 2.0) -> int:
    listed = list_words(words=words)
    with dsl.ParallelFor(listed.output, parallelism=2) as pair:
        kept = keep(words=pair, folder=folder, factor=factor)
    return count(folder=folder).after(kept).outputs["Output"]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def die_once(folder: str) -> str:
    import os
    import signal
    from pathlib import Path

    marker = Path(folder, "died")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@dsl.pipeline(name="once-more")
def once_more_pipeline(folder: str) -> str:
    return die_once(folder=folder).set_retry(5, "3600s").outputs["Output"]
