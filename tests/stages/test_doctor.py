"""`decloud doctor`: what is wrong is found before the work, and all of it at once."""

import re
import socket

import pytest
from click.testing import CliRunner

from decloud_lib import cli, storage
from decloud_lib.errors import ConfigError
from decloud_lib.raster import abilities
from decloud_lib.stages.doctor import DoctorConfig, doctor


def states(**wanted):
    return {finding.name: finding.state for finding in doctor(DoctorConfig(**wanted)).findings}


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_what_nobody_asked_for_may_be_absent():
    result = doctor(DoctorConfig())

    assert result.exit_status == 0
    assert {f.name for f in result.findings} == {"decloud", "packages", "gdal", "otb", "gpus"}
    result.check()


def test_the_wheel_of_rasterio_has_all_that_is_needed():
    assert abilities.missing_drivers() == ()
    assert abilities.missing_codecs() == ()


def test_a_bucket_is_left_as_it_was(bucket):
    storage.write_bytes(storage.join(bucket, "there.txt"), b"1")

    assert states(bucket=bucket)["bucket"] == "ok"
    assert [storage.name_of(uri) for uri in storage.list_children(bucket)] == ["there.txt"]


def test_all_that_is_wrong_is_told_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", free_address())
    monkeypatch.setenv("AWS_ENDPOINT_URL", free_address())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    result = doctor(DoctorConfig(bucket="s3://nowhere", mlflow=True, gpus=64))

    assert [finding.name for finding in result.failed] == ["gpus", "bucket", "mlflow"]
    assert result.exit_status == 2
    with pytest.raises(ConfigError, match=r"cannot succeed: gpus: .*; bucket: .*; mlflow: "):
        result.check()


def test_mlflow_is_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    assert states(mlflow=True)["mlflow"] == "ok"


def test_the_command_prints_a_line_per_finding_and_ends_with_2(tmp_path):
    good = CliRunner().invoke(cli.app, ["doctor", "--bucket", str(tmp_path)])
    (tmp_path / "file").touch()
    bad = CliRunner().invoke(
        cli.app, ["doctor", "--bucket", str(tmp_path / "file")], standalone_mode=False
    )

    assert good.exit_code == 0, good.output
    assert re.search(
        r"^ok +bucket +.* can be listed, written, read and deleted in$", good.output, re.M
    )
    assert bad.return_value == 2
    assert re.search(r"^FAILED +bucket +", bad.output, re.M)
