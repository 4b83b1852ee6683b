"""`decloud doctor`: what is wrong is found before the work, and all of it at once."""

import re
import socket

import pytest
from click.testing import CliRunner

from decloud_lib import cli, storage
from decloud_lib.errors import ConfigError
from decloud_lib.raster import abilities
from decloud_lib.stages.doctor import DoctorConfig, doctor
from tests.web import serve_web


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
    gpus = next(finding for finding in result.findings if finding.name == "gpus")
    assert gpus.state == "ok" or gpus.told == "TensorFlow sees none: networks run on the CPU"
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


def told(**wanted):
    (finding,) = doctor(DoctorConfig(**wanted)).failed
    return finding.told


def test_credentials_that_are_missing_are_told(monkeypatch, s3):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert "no credentials for http" in told(bucket=s3)
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told(bucket=s3)


def test_credentials_that_are_wrong_are_told(monkeypatch, rclone_bucket):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-key")

    assert "refuses these credentials" in told(bucket=rclone_bucket)
    assert "check AWS_ACCESS_KEY_ID" in told(bucket=rclone_bucket)


@pytest.mark.slow
def test_ceph_refuses_wrong_credentials_and_takes_the_right_ones(monkeypatch, ceph_bucket):
    assert states(bucket=ceph_bucket)["bucket"] == "ok"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-key")

    assert "refuses these credentials" in told(bucket=ceph_bucket)


def test_a_bucket_that_is_not_there_is_told(s3):
    assert "there is no bucket 'no-such-bucket'" in told(bucket="s3://no-such-bucket/prepared")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AWS_PROFILE", "nobody", "AWS_PROFILE names no profile .*nobody.*; check the name"),
        ("AWS_REGION", "far_away", "AWS_REGION: .*'far_away' doesn't match.*; expected such as"),
        ("AWS_ENDPOINT_URL", "127.0.0.1", "'?127.0.0.1.*expected AWS_ENDPOINT_URL as http://host"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch, s3, variable, value, says):
    monkeypatch.setenv(variable, value)

    assert re.search(says, told(bucket=s3))


def test_a_server_that_is_no_bucket_is_told(monkeypatch, s3, tmp_path):
    with serve_web(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.uri(""))
        found = told(bucket=s3)

    assert f"{server.uri('')} does not answer as an S3 server does" in found
    assert "check AWS_ENDPOINT_URL" in found


def test_a_bucket_of_another_region_is_told(monkeypatch, s3):
    import boto3

    place = {"LocationConstraint": "eu-west-3"}
    boto3.client("s3", region_name="eu-west-3").create_bucket(
        Bucket="far-away", CreateBucketConfiguration=place
    )
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    assert "is in region eu-west-3, and AWS_REGION says us-east-1" in told(bucket="s3://far-away/x")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert states(bucket="s3://far-away/x")["bucket"] == "ok"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "ftp://mlflow", "http://", "mlflow:5000"])
def test_an_mlflow_that_does_not_answer_is_told(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert f"MLflow at {uri}" in told(mlflow=True)
    assert "check MLFLOW_TRACKING_URI" in told(mlflow=True)


def test_a_password_is_not_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://someone:secret@127.0.0.1:1/runs")

    found = told(mlflow=True)
    assert "MLflow at postgresql://someone:***@127.0.0.1:1/runs: " in found
    assert "secret" not in found


def test_an_address_in_the_web_is_no_place_to_write():
    assert "can be read, not written" in told(bucket="http://example.org/data")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("models:/nobody@champion", "nobody.* not found; check the name"),
        ("models:/nobody/3", "not found; check the name"),
        ("models:/nobody", "not a model; expected models:/NAME@ALIAS"),
        ("{bucket}/models/none", "/models/none: no model folder there; check the path"),
        ("models/none", "models/none: no model folder there"),
        ("s3://no-such-bucket/model", "there is no bucket"),
    ],
)
def test_a_network_that_is_not_there_is_told(s3, mlflow_store, model, says):
    assert re.search(says, told(savedmodel=model.format(bucket=s3)))


def test_a_network_in_the_bucket_is_found_and_a_name_is_not_looked_at(s3):
    storage.write_bytes(f"{s3}/models/mine/model.json", b"{}")

    assert states(savedmodel=f"{s3}/models/mine")["network"] == "ok"
    assert "network" not in states(savedmodel="linear_gap_filling")


def test_a_pod_must_be_told_where_mlflow_is(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    assert "MLFLOW_TRACKING_URI is not set in this pod" in told(mlflow=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert told(mlflow=True).endswith("check MLFLOW_TRACKING_URI and the server")
