"""A model folder in use: its contract at once, its network only when something must be computed."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from decloud_lib import checksums, manifest, storage, tracking
from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.models.contract import ModelContract, read_contract
from decloud_lib.models.lean import import_keras
from decloud_lib.models.runtimes import ReadyModel, RuntimeName, check_runtime, load_for
from decloud_lib.reconstruction.closed_form import CONTRACTS

logger = logging.getLogger(__name__)

#: Networks that need no folder, by name: without weights, or with those of the package.
BUILT = ("gapfilling_kriged", "residual")


class ModelInUse:
    """A model folder; loads the network once, when it is first asked for.

    Some models need no folder: `linear_gap_filling` and others are known by name.

    Attributes
    ----------
    uri : what the user named
    version : the same, or the version that an alias led to when it was opened
    contract : what goes in and comes out
    runtime : what computes the network
    """

    def __init__(
        self,
        uri: str,
        folder: Path | None,
        runtime: RuntimeName = "tensorflow",
        version: str | None = None,
    ) -> None:
        self.uri = uri
        self.version = version or uri
        self.runtime: RuntimeName = runtime
        self.contract = _contract(uri) if folder is None else read_contract(folder)
        self._folder = folder
        self._weights = _weights(uri) if folder is None else None
        self._network: ReadyModel | None = None
        self._files: tuple[storage.Entry, ...] | None = None
        self._digest: str | None = None
        self._loading = Lock()

    @property
    def has_name_only(self) -> bool:
        """Whether there is nothing to link to: a formula, or weights of the package."""
        return self._folder is None

    def files(self) -> tuple[storage.Entry, ...]:
        """Return the model's files with a hash of their content.

        An alias such as `models:/decloud@champion` keeps its name when it moves to another version;
        the hashes tell.
        """
        if self._files is None:
            if self._folder:
                self._files = tuple(manifest.entries_by_content(self.uri, self._folder))
            elif self._weights:
                size = self._weights.stat().st_size
                self._files = (storage.Entry(self.uri, size, self.sha256()),)
            else:
                self._files = ()
        return self._files

    def sha256(self) -> str:
        """Return the digest of the whole folder (see `checksums`), or of the package's weights.

        Empty for what has neither.
        """
        if self._digest is None:
            if self._folder:
                self._digest = checksums.folder_digest(self._folder)
            else:
                self._digest = checksums.file_sha256(self._weights) if self._weights else ""
        return self._digest

    def network(self) -> ReadyModel:
        """Return the network; takes seconds the first time."""
        with self._loading:
            if self._network is None:
                start = time.monotonic()
                folder = self._folder
                if self.runtime == "tensorflow":
                    import_keras()
                self._network = load_for(self.runtime, folder) if folder else _built(self.uri)
                logger.info("loaded model %s in %.1f s", self.uri, time.monotonic() - start)
            return self._network


@contextmanager
def open_model(uri: str, runtime: RuntimeName = "tensorflow") -> Iterator[ModelInUse]:
    """Open a model by the URI of its folder, by `models:/name@alias`, or by name.

    Raises
    ------
    ModelFolderError, StorageError
        There is no such model, or its folder has no contract.
    ConfigError
        The runtime is not installed, or cannot compute the model.
    """
    check_runtime(runtime)
    if uri in BUILT and runtime != "tensorflow":
        raise ConfigError(f"--runtime {runtime} cannot compute {uri}; use --runtime tensorflow")
    if uri in CONTRACTS or uri in BUILT:
        yield ModelInUse(uri, None)
        return
    if "/" not in uri and not storage.exists(uri):
        raise ModelFolderError(
            f"{uri}: no model has this name, and no model folder is there; expected a folder, "
            f"models:/<name>@<alias>, or one of {', '.join(sorted({*CONTRACTS, *BUILT}))}"
        )
    # An alias may move while its model is in use: it is followed once.
    moves = tracking.is_tracked(uri) and "@" in uri
    version = tracking.resolve_version(uri).uri if moves else uri
    with tracking.model_folder(version) as folder:
        yield ModelInUse(uri, folder, runtime, version)


def _contract(name: str) -> ModelContract:
    if name in CONTRACTS:
        return CONTRACTS[name]
    # Keras, which the model needs anyway.
    import_keras()
    from decloud_lib.models import registry

    return registry.get(name).contract(registry.ModelSpec())


def _weights(name: str) -> Path | None:
    if name not in BUILT:
        return None
    from decloud_lib.models import registry
    from decloud_lib.models.shipped import weights_file

    return weights_file(registry.get(name))


def _built(name: str) -> ReadyModel:
    from decloud_lib.models import registry
    from decloud_lib.models.devices import check_gpus
    from decloud_lib.models.store import serve_by_name

    check_gpus()
    return serve_by_name(registry.get(name))
