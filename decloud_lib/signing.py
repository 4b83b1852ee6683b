"""Signatures of model folders with an elliptic-curve key, by the package `model-signing`.

Checksums prove that a model is the one that was recorded; a signature proves who made it, also to
somebody who does not trust the bucket and the tracking server. Two variables switch it on:
`DECLOUD_SIGNING_KEY`, a private key, where models are made, and `DECLOUD_VERIFYING_KEY`, its public
key, where they are loaded; both are PEM files. With the second, no model without a signature of
that key is loaded.
"""

import os
from pathlib import Path
from typing import Any

from decloud_lib.checksums import NOT_COUNTED, SIGNATURE
from decloud_lib.errors import ConfigError, ModelFolderError

SIGNING_KEY, VERIFYING_KEY = "DECLOUD_SIGNING_KEY", "DECLOUD_VERIFYING_KEY"


def sign_folder(folder: Path) -> bool:
    """Write `model.sig`, the signature of all files, into a model folder, if a key is set.

    Returns
    -------
    Whether there is a key.

    Raises
    ------
    ConfigError
        The package is not installed, or the key cannot be used.
    """
    key = os.environ.get(SIGNING_KEY)
    if not key:
        return False
    package = _package()
    config = package.signing.Config().set_hashing_config(_hashing(package))
    try:
        config.use_elliptic_key_signer(private_key=key).sign(folder, folder / SIGNATURE)
    # A password that is needed is told as a wrong type.
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(
            f"{SIGNING_KEY}={key}: the model cannot be signed with it ({error}); expected the "
            f"private key of an elliptic curve, PEM without a password"
        ) from error
    return True


def check_signature(folder: Path, uri: str) -> bool:
    """Check that a model folder was signed with the private key of a public one, if that is set.

    Parameters
    ----------
    folder
        The folder on this machine.
    uri
        What the user named, for messages.

    Returns
    -------
    Whether there is a key.

    Raises
    ------
    ModelFolderError
        There is no signature, it is of another key, or a file has changed since.
    ConfigError
        The package is not installed, or the key is missing.
    """
    key = os.environ.get(VERIFYING_KEY)
    if not key:
        return False
    if not Path(key).is_file():
        raise ConfigError(f"{VERIFYING_KEY}={key}: no such file; expected a public key, PEM")
    if not (folder / SIGNATURE).is_file():
        raise ModelFolderError(
            f"{uri}: not signed, and {VERIFYING_KEY} asks for a signature; train it with "
            f"{SIGNING_KEY}, or use a version that is signed"
        )
    package = _package()
    config = package.verifying.Config().set_hashing_config(_hashing(package))
    try:
        config.use_elliptic_key_verifier(public_key=key).verify(folder, folder / SIGNATURE)
    # A file that is no signature is told as a missing part of its JSON.
    except (ValueError, KeyError) as error:
        raise ModelFolderError(
            f"{uri}: its signature does not hold ({error}); it is not loaded, because a SavedModel "
            f"is code: find out who made it"
        ) from error
    return True


def _hashing(package: Any) -> Any:
    ignored = sorted(NOT_COUNTED)
    return package.hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _package() -> Any:
    try:
        import model_signing
        from model_signing import hashing, signing, verifying  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"signatures need the extra 'signing' ({error.name} is not installed): install "
            f"decloud-kubeflow[signing], or unset {SIGNING_KEY} and {VERIFYING_KEY}"
        ) from error
    return model_signing
