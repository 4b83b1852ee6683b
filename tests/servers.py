"""Real S3 servers on loopback for the tests; each is stopped at the end of its context."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decloud_lib.demo.server import S3Server

CEPH_PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph")
CEPH_SCRIPT = Path(__file__).parent.parent / "docker" / "ceph_rgw.sh"

ON_CI = bool(os.environ.get("CI"))

_MOTO = """
import os, sys, threading
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.s3.responses import S3Response

# moto looks whether an object is there and then writes it: two threads could both find none.
lock = threading.RLock()
def one_at_a_time(method):
    def locked(*arguments, **options):
        with lock:
            return method(*arguments, **options)
    return locked
for name in ("put_object", "_key_response_post"):
    setattr(S3Response, name, one_at_a_time(getattr(S3Response, name)))

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""


@contextmanager
def moto(environment: dict[str, str] | None = None) -> Iterator[S3Server]:
    """Serve S3 from memory (moto): conditional writes, but any credentials are accepted.

    In a process of its own, because moto changes botocore in the process that imports it.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    with process:
        line = process.stdout.readline() if process.stdout else ""
        found = re.fullmatch(r"port (\d+)\n", line)
        if found is None:
            raise RuntimeError(f"moto did not start; it said {line!r}")
        # Leaving the context closes the pipe, on which the server ends, and waits for it.
        yield S3Server(f"http://127.0.0.1:{found[1]}", "testing-access", "testing-secret")


def missing_for_ceph() -> str:
    """Say why Ceph cannot be started here; empty when it can."""
    missing = [name for name in CEPH_PROGRAMS if shutil.which(name) is None]
    if not missing:
        return ""
    return f"no {', '.join(missing)}: apt-get install radosgw ceph-mon ceph-osd ceph-common"


@contextmanager
def ceph(folder: Path) -> Iterator[S3Server]:
    """Serve S3 from a real Ceph gateway whose data lie in a folder, and stay there."""
    _run_ceph_script("start", str(folder), str(free_port()))
    try:
        lines = (folder / "s3.env").read_text().splitlines()
        found = dict(line.split("=", 1) for line in lines)
        yield S3Server(
            found["AWS_ENDPOINT_URL"], found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]
        )
    finally:
        _run_ceph_script("stop", str(folder))


def _run_ceph_script(*arguments: str) -> None:
    done = subprocess.run(
        ["bash", str(CEPH_SCRIPT), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"ceph_rgw.sh {arguments[0]}: {done.stderr[-2000:]}")


def missing_for_postgres() -> str:
    """Say why PostgreSQL cannot be started here; empty when it can."""
    if _postgres_program("initdb") is None:
        return "no initdb: apt-get install postgresql"
    return ""


@contextmanager
def postgres() -> Iterator[str]:
    """Serve an empty PostgreSQL database on loopback; gives its URL, password included."""
    port, password = free_port(), secrets.token_hex(16)
    # Not below pytest's folder: the server refuses to run as root, and others may not enter that.
    home = Path(tempfile.mkdtemp(prefix="decloud-postgres-"))
    key = home / "password"
    key.write_text(password)
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(home, user)
        shutil.chown(key, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(_postgres_program(program)), "-D", str(home / "data"), *arguments],
            check=True, user=user, cwd=home, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    try:
        # Durability is left out: the data live as long as the tests.
        run("initdb", "-A", "scram-sha-256", "-U", "mlflow", "--pwfile", str(key), "--no-sync")
        settings = f"-F -h 127.0.0.1 -p {port} -k {home}"
        run("pg_ctl", "start", "-w", "-s", "-o", settings, "-l", str(home / "log"))
        try:
            yield f"postgresql+psycopg2://mlflow:{password}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "-w", "-s", "-m", "fast")
    finally:
        shutil.rmtree(home)


def _postgres_program(name: str) -> str | None:
    """Find a program of the server; Debian keeps them off the search path."""
    found = shutil.which(name)
    return found or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)


def foreign_variables() -> list[str]:
    """Name the variables that could lead a test to a real bucket or tracking server."""
    return [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_", "RCLONE_"))]


def environment() -> dict[str, str]:
    """Return the variables of this process, for another one that a test starts."""
    return dict(os.environ)


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(url: str, method: str = "GET", body: bytes | None = None, host: str = "") -> bytes:
    """Send one request and return the answer; loopback only, never through a proxy."""
    request = urllib.request.Request(url, data=body, method=method)
    if host:
        request.add_header("Host", host)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return bytes(answer.read())


def wait_for_port(port: int, seconds: float = 10) -> None:
    """Wait until something listens on a loopback port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {seconds} s")


@contextmanager
def mlflow_server(store: str, folder: Path) -> Iterator[str]:
    """Serve an MLflow store on loopback; the artifacts lie in a folder."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", store]
    command += ["--artifacts-destination", str(folder / "mlartifacts")]
    with (folder / "mlflow-server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        try:
            wait_for_port(port, 240)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
