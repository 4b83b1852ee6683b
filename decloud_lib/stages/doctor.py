"""Find out whether this machine, container or pod can do its work, before the work starts."""

import importlib.metadata
import platform
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from decloud_lib import __version__, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, DecloudError

_PACKAGES = ("numpy", "rasterio", "boto3", "tensorflow", "keras", "mlflow", "kfp")
#: The same code is published under several names.
_NAMES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "mlflow": ("mlflow", "mlflow-skinny")}


class DoctorConfig(StageConfig):
    """What the work will need."""

    bucket: str | None = Field(
        default=None,
        description="Folder or s3:// prefix that must be listed, written, read and deleted in.",
    )
    mlflow: bool = Field(default=False, description="MLflow must answer (MLFLOW_TRACKING_URI).")
    savedmodel: str | None = Field(
        default=None,
        description="Network that must be there: its folder, models:/NAME@ALIAS or models:/NAME/"
        "VERSION; what has only a name is not looked at.",
    )
    gpus: int = Field(default=0, ge=0, description="GPUs that TensorFlow must see.")
    engine: Literal["rasterio", "otb"] = Field(
        default="rasterio", description="Engine of the reconstruction that must be there."
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "absent", "FAILED"]
    """absent: it is not there, and nobody asked for it."""
    told: str
    """What was found, or what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """What was found."""

    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(finding for finding in self.findings if finding.state == "FAILED")

    @property
    def exit_status(self) -> int:
        """2 when something is wrong, else 0."""
        return 2 if self.failed else 0

    def text(self) -> str:
        """Return a line per finding."""
        width = max(len(finding.name) for finding in self.findings)
        return "\n".join(
            f"{finding.state:<7} {finding.name:<{width}}  {finding.told}"
            for finding in self.findings
        )

    def check(self) -> None:
        """Stop a pipeline that cannot succeed.

        Raises
        ------
        ConfigError
            Something is wrong.
        """
        if self.failed:
            told = "; ".join(f"{finding.name}: {finding.told}" for finding in self.failed)
            raise ConfigError(f"this run cannot succeed: {told}")


def doctor(config: DoctorConfig, *, needed_only: bool = False) -> DoctorResult:
    """Look at versions, GDAL, engines, GPUs, the bucket and MLflow.

    Parameters
    ----------
    config
        What the work will need.
    needed_only
        Leave out the toolbox and GPUs where nobody asked for them: loading what tells takes long.

    Returns
    -------
    What was found; nothing raises, so that all problems are seen at once.
    """
    return DoctorResult(tuple(_findings(config, needed_only)))


def _findings(config: DoctorConfig, needed_only: bool) -> Iterator[Finding]:  # noqa: FBT001
    yield Finding("decloud", "ok", f"{__version__}, Python {platform.python_version()}")
    versions = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
    yield Finding("packages", "ok", ", ".join(versions))
    yield _tried("gdal", _gdal)
    if config.engine == "otb" or not needed_only:
        yield _tried("otb", _otb, wanted=config.engine == "otb")
    if config.gpus or not needed_only:
        yield _tried("gpus", lambda: _gpus(config.gpus), wanted=config.gpus > 0)
    if config.bucket is not None:
        uri = config.bucket
        yield _tried("bucket", lambda: _bucket(uri))
    if config.mlflow:
        yield _tried("mlflow", _mlflow)
    model = config.savedmodel
    if model is not None and (tracking.is_tracked(model) or storage.is_s3(model) or "/" in model):
        yield _tried("network", lambda: tracking.check_model(model))


def _tried(name: str, look: Callable[[], str], *, wanted: bool = True) -> Finding:
    try:
        return Finding(name, "ok", look())
    except DecloudError as error:
        return Finding(name, "FAILED" if wanted else "absent", str(error))


def _version(package: str) -> str | None:
    for name in _NAMES.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _gdal() -> str:
    from decloud_lib.raster import abilities

    missing = (*abilities.missing_drivers(), *abilities.missing_codecs())
    if missing:
        raise ConfigError(
            f"GDAL {abilities.gdal_version()} lacks {', '.join(missing)}: install rasterio's wheel"
        )
    known = ", ".join((*abilities.DRIVERS, *abilities.CODECS))
    return f"{abilities.gdal_version()} with {known}"


def _otb() -> str:
    from decloud_lib.raster import otb

    otb.engine()
    return otb.version()


def _gpus(wanted: int) -> str:
    if _version("tensorflow") is None:
        raise ConfigError("no TensorFlow in this image: run networks in the one that has it")
    from decloud_lib.models import devices

    found = devices.gpus("mirrored")
    if not found and not wanted:
        raise ConfigError("TensorFlow sees none: networks run on the CPU")
    if found < wanted:
        raise ConfigError(
            f"TensorFlow sees {found} GPUs, expected {wanted}: use the GPU image, ask for "
            "them in the profile, and check the driver and the device plugin of the node"
        )
    return str(found)


def _mlflow() -> str:
    uri = tracking.place()
    if tracking.vanishes():
        raise ConfigError(
            f"MLFLOW_TRACKING_URI is not set in this pod: runs would go to {uri} and vanish with "
            "it; set it in the ConfigMap that the profile names (k8s/README.md)"
        )
    return f"{uri} {tracking.reach()}"


def _bucket(uri: str) -> str:
    """List, write, read back and delete; nothing is left behind."""
    storage.check_bucket(uri)
    place = uri if storage.is_s3(uri) else _existing(uri)
    probe = storage.join(place, f"doctor-{uuid.uuid4().hex}")
    content = probe.encode()
    storage.check_region(place)
    storage.list_children(place)
    try:
        storage.write_bytes(probe, content)
        if storage.read_bytes(probe) != content:
            raise ConfigError(f"{uri}: what was written comes back changed; check the server")
    finally:
        storage.delete(probe)
    return f"{place} can be listed, written, read and deleted in"


def _existing(folder: str) -> str:
    """Return the folder, or the one in which it would be made."""
    path = Path(folder).absolute()
    return str(next(item for item in (path, *path.parents) if item.exists()))
