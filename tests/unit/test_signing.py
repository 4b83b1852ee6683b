import importlib.util
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from decloud_lib import checksums, signing, tracking
from decloud_lib.errors import ConfigError, ModelFolderError

INSTALLED = importlib.util.find_spec("model_signing") is not None
installed = pytest.mark.skipif(
    not INSTALLED, reason="model-signing is not installed: pip install decloud-kubeflow[signing]"
)


def make_keys(folder: Path, name: str) -> tuple[str, str]:
    """Write a private and a public key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return str(private), str(public)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "variables").mkdir(parents=True)
    (root / "saved_model.pb").write_bytes(b"graph")
    (root / "variables/variables.index").write_bytes(b"weights")
    checksums.seal_folder(root)
    return root


def test_without_keys_nothing_is_signed_or_asked_for(folder: Path) -> None:
    assert not signing.sign_folder(folder)
    assert not signing.check_signature(folder, "model")
    assert not (folder / checksums.SIGNATURE).exists()


@installed
def test_a_signed_model_is_loaded_and_anything_else_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_keys(tmp_path, "ours")
    _, other = make_keys(tmp_path, "other")
    unsigned = shutil.copytree(folder, tmp_path / "unsigned")
    digest = checksums.folder_digest(folder)
    monkeypatch.setenv(signing.SIGNING_KEY, private)
    assert signing.sign_folder(folder)
    # The signature is about the files, not one of them.
    assert checksums.folder_digest(folder) == digest

    monkeypatch.setenv(signing.VERIFYING_KEY, public)
    (folder / "manifest.json").write_text("written later")
    with tracking.model_folder(str(folder)) as same:
        assert same == folder
    with (
        pytest.raises(ModelFolderError, match="not signed, and DECLOUD_VERIFYING_KEY asks"),
        tracking.model_folder(str(unsigned)),
    ):
        pass
    monkeypatch.setenv(signing.VERIFYING_KEY, other)
    with (
        pytest.raises(ModelFolderError, match="signature does not hold"),
        tracking.model_folder(str(folder)),
    ):
        pass

    # Who changes a file can write its checksums again, and not its signature.
    monkeypatch.setenv(signing.VERIFYING_KEY, public)
    (folder / "saved_model.pb").write_bytes(b"other")
    checksums.seal_folder(folder)
    with (
        pytest.raises(ModelFolderError, match=r"does not hold .*saved_model\.pb"),
        tracking.model_folder(str(folder)),
    ):
        pass
    for rubbish in ("{}", "no JSON"):
        (folder / checksums.SIGNATURE).write_text(rubbish)
        with pytest.raises(ModelFolderError, match="signature does not hold"):
            signing.check_signature(folder, "model")


@installed
@pytest.mark.parametrize("content", [None, "no key"])
def test_a_key_that_cannot_be_used_is_explained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(signing.SIGNING_KEY, str(path))
    with pytest.raises(ConfigError, match="expected the private key of an elliptic curve"):
        signing.sign_folder(folder)


def test_a_public_key_that_is_not_there_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.VERIFYING_KEY, str(folder / "none.pub"))
    with pytest.raises(ConfigError, match=r"none\.pub: no such file; expected a public key"):
        signing.check_signature(folder, "model")


@pytest.mark.skipif(INSTALLED, reason="model-signing is installed")
def test_without_the_package_the_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.SIGNING_KEY, make_keys(tmp_path, "ours")[0])
    with pytest.raises(ConfigError, match=r"install decloud-kubeflow\[signing\]"):
        signing.sign_folder(folder)
