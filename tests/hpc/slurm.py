"""A Slurm of one node, started for a test: real daemons, ports and keys of its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import servers

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
_CPUS = 4
_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmctldPort={control}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000
PartitionName=all Nodes={host} Default=YES State=UP
"""


def missing() -> list[str]:
    """Return what this machine lacks to run it."""
    lacks = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    return lacks + ([] if os.geteuid() == 0 else ["root"])


class Slurm:
    """The cluster; its commands know it by a variable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = servers.environment() | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": _path(),
        }

    def submit(self, *words: str) -> str:
        """Submit a job, wait for its end, and return what it said.

        Raises
        ------
        AssertionError
            It failed.
        """
        said = self.folder / "job-%A-%a.out"
        command = ["sbatch", "--wait", "--parsable", f"--output={said}", "--mem=1G"]
        command += [f"--chdir={self.folder}", *words]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=400
        )
        number = done.stdout.strip()
        texts = [path.read_text() for path in sorted(self.folder.glob(f"job-{number}-*.out"))]
        assert done.returncode == 0, "\n".join([done.stderr, *texts, self._logs()])
        return "\n".join(texts)

    def wait_until_up(self) -> None:
        """Wait until the node takes jobs."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            done = subprocess.run(
                ["sinfo", "--noheader", "--format=%t"],
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.stdout.strip() == "idle":
                return
            time.sleep(0.5)
        raise AssertionError(f"Slurm is not up: {done.stdout} {done.stderr}\n{self._logs()}")

    def _logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Start a cluster below a folder."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    control, node = _free_ports(2)
    host = socket.gethostname().partition(".")[0]
    text = _CONFIG.format(folder=folder, host=host, control=control, node=node, cpus=_CPUS)
    (folder / "slurm.conf").write_text(text)
    slurm = Slurm(folder)
    files = {"socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *munge],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", host],
    ]
    with ExitStack() as stack:
        for words in daemons:
            process = subprocess.Popen(
                words,
                env=slurm.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_stop, process)
            time.sleep(0.5)
        slurm.wait_until_up()
        yield slurm


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def _path() -> str:
    return f"{servers.environment().get('PATH', '')}:/usr/sbin:/sbin"
