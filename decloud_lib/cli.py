"""The command line: one command per stage, its options made from the stage's configuration class.

The only place that exits, shows results and configures logging. A stage's module is imported when
its command is chosen, so `decloud --help` stays instant; the pipelines are reached by name only.
"""

import dataclasses
import errno
import importlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from decloud_lib import __version__
from decloud_lib.commands import COMMANDS, GROUPS, STAGES, CommandGroup, LazyCommand, StageCommand
from decloud_lib.errors import ConfigError, DecloudError

if TYPE_CHECKING:
    from decloud_lib.config import StageConfig

logger = logging.getLogger(__name__)

_LOUD = (
    *("absl", "alembic", "boto3", "botocore", "kfp", "matplotlib", "mlflow", "rasterio"),
    *("s3transfer", "tensorflow", "urllib3"),
)
_INTERRUPTED, _TERMINATED = 130, 143
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Disk full, quota used up, file larger than files may be."""


def configure_logging(level: str = "info") -> None:
    """Send log lines to standard error as `time level message`; third parties only warn.

    Parameters
    ----------
    level
        `debug`, `info`, `warning` or `error`.
    """
    # TensorFlow reads this once, when it is imported: 2 keeps its start-up notices out of the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)


def task_environment() -> dict[str, str]:
    """Return the variables that a task in a container needs: where the bucket and MLflow are.

    And how GDAL talks to such a server; not where GDAL's files are on this machine.
    """
    prefixes = ("AWS_", "MLFLOW_", "DECLOUD_", "CPL_VSIL_", "GDAL_DISABLE_READDIR", "GDAL_HTTP_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table, which is the order of the work."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import and build one command; None when there is no such name."""
        cmd_name = _dashed(cmd_name)
        found = COMMANDS.get(cmd_name)
        if isinstance(found, StageCommand):
            return stage_command(cmd_name, found)
        if isinstance(found, CommandGroup):
            return stage_group(cmd_name)
        return None if found is None else _imported(cmd_name, found)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in COMMANDS])


class StageGroup(click.Group):
    """The stages whose names begin with the group's; a module is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names without the group's, in the order of the table."""
        start = f"{self.name} "
        return [name.removeprefix(start) for name in STAGES if name.startswith(start)]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import and build one command; None when there is no such name."""
        name = f"{self.name} {_dashed(cmd_name)}"
        return stage_command(name, STAGES[name]) if name in STAGES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any."""
        with formatter.section("Commands"):
            names = self.list_commands(ctx)
            formatter.write_dl([(name, STAGES[f"{self.name} {name}"].summary) for name in names])


class ListOptionCommand(click.Command):
    """A command with lenient option names and lists.

    `--in_image` is `--in-image`. A repeatable option also takes several values after one name:
    `--il-s1before a b` and `--il-s1before a --il-s1before b` mean the same. So a bare word after
    such an option belongs to it, and a positional argument goes first.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write names with dashes, repeat them before each further value, parse as usual."""
        repeatable = {
            name
            for param in self.params
            if isinstance(param, click.Option) and param.multiple
            for name in param.opts
        }
        spread: list[str] = []
        current, needs_value = "", False
        for word in args:
            if word.startswith("-") and not _is_number(word):
                name, sign, value = word.partition("=")
                name = _dashed(name)
                current = name if name in repeatable else ""
                needs_value = not sign
                spread.append(f"{name}{sign}{value}")
                continue
            if current and not needs_value:
                spread.append(current)
            needs_value = False
            spread.append(word)
        return super().parse_args(ctx, spread)


def stage_group(name: str) -> click.Group:
    """Build the command that holds the stages whose names begin with a word."""
    return StageGroup(
        name,
        help=GROUPS[name].summary,
        no_args_is_help=True,
        context_settings={"max_content_width": 100},
    )


def stage_command(name: str, stage: StageCommand) -> click.Command:
    """Build the command of one stage from its configuration class.

    Parameters
    ----------
    name
        Name of the command, with dashes; of a group's, with the group's before it.
    stage
        Its line of the table.
    """
    from decloud_lib import options

    module_name, class_name, function_name = stage.target.split(":")
    module = importlib.import_module(module_name)
    config_class: type[StageConfig] = getattr(module, class_name)
    run: Callable[[StageConfig], Any] = getattr(module, function_name)

    def callback(
        config: str | None, log_level: str, *, dry_run: bool, as_json: bool, **given: Any
    ) -> int:
        configure_logging(log_level)
        for spelling, why in stage.without_effect.items():
            if given.pop(options.variable_of(spelling), None) is not None:
                logger.warning("%s has no effect: %s", spelling.partition(" ")[0], why)
        resolved = options.resolve_config(config_class, config, given)
        if dry_run and stage.plan:
            show_result(getattr(module, stage.plan)(resolved), as_json=as_json)
            return 0
        if dry_run:
            click.echo(resolved.model_dump_json(indent=2))
            return 0
        result = run(resolved)
        show_result(result, as_json=as_json)
        status: int = getattr(result, "exit_status", 0)
        return status

    return ListOptionCommand(
        name.rpartition(" ")[2],
        callback=callback,
        params=[
            *options.parameters_of(config_class),
            *options.options_without_effect(stage.without_effect),
            *_common_options(does=stage.plan),
        ],
        short_help=stage.summary,
        help="\n\n".join(
            text
            for text in (stage.summary, options.arguments_text(config_class), stage.details)
            if text
        ),
        epilog="\b\nExample:\n  " + stage.example.replace("\n", "\n  "),
        context_settings={"max_content_width": 100},
        no_args_is_help=any(field.is_required() for field in config_class.model_fields.values()),
    )


def show_result(result: Any, *, as_json: bool) -> None:
    """Print what a stage returned: its own text or a line per field, or JSON."""
    from pydantic_core import to_jsonable_python

    plain = to_jsonable_python(result)
    if as_json:
        click.echo(json.dumps(plain, indent=2))
    elif hasattr(result, "text"):
        click.echo(result.text())
    elif dataclasses.is_dataclass(result):
        for key, value in plain.items():
            click.echo(f"{key.replace('_', ' ')}: {_short(value)}")
    elif isinstance(plain, list):
        for item in plain:
            click.echo(json.dumps(item))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"max_content_width": 100},
    epilog="New here: 'decloud demo' runs the whole chain on products that it makes itself. The "
    "commands stand in the order of the work, and each explains itself with --help. Options may be "
    "written with dashes or with underscores; a list takes several values after its name. Wrong "
    "input ends with status 2 and one line on standard error.",
)
@click.version_option(__version__, prog_name="decloud")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Remove clouds from Sentinel-2 images with Sentinel-1, other dates and elevation."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments
        Words after the program's name; None takes those of the process.

    Returns
    -------
    status : int
        0 done, 2 wrong input or usage (one line on standard error), 3 done but for some products
        (they are named), 130 interrupted, 143 terminated. Any other exception keeps its traceback,
        and Python ends with 1.
    """
    unwind_on_termination()
    try:
        status = app.main(arguments, prog_name="decloud", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"error: {message}{_hint(error)}", err=True)
        return error.exit_code
    except DecloudError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        return 2
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        place = error.filename or f"a file, perhaps in {tempfile.gettempdir()}"
        click.echo(f"error: {place}: {error.strerror}; make room, or set TMPDIR", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: finished work is kept; the same command continues it", err=True)
        return _INTERRUPTED
    except Terminated:
        click.echo("terminated: finished work is kept; the same command continues it", err=True)
        return _TERMINATED
    return status if isinstance(status, int) else 0


class Terminated(SystemExit):
    """The process was asked to end; no error that code along the way should handle."""


def unwind_on_termination() -> None:
    """Let SIGTERM end what runs as Ctrl+C does, so that files are cleared and runs are closed.

    It is how Kubernetes and Slurm ask a task to end. Only the main thread may listen to signals.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Terminated(_TERMINATED)


def _imported(name: str, command: LazyCommand) -> click.Command:
    module, _, attribute = command.target.partition(":")
    try:
        found: click.Command = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"pipelines", "components", "kfp"}:
            raise
        raise ConfigError(
            f"'decloud {name}' needs {missing!r}, which cannot be imported; run it from a "
            "checkout of the repository with the extra 'pipelines' installed"
        ) from error
    return found


def _hint(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"; see {error.ctx.command_path} --help"
    return ""


def _common_options(*, does: str) -> list[click.Option]:
    levels = click.Choice(["debug", "info", "warning", "error"])
    said = "How much is said on standard error."
    shown = "what would be done" if does else "the resolved settings"
    return [
        click.Option(["--config"], metavar="FILE", help="JSON or YAML file with values by field."),
        click.Option(["--dry-run"], is_flag=True, help=f"Print {shown} and stop."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."),
        click.Option(["--log-level"], type=levels, default="info", show_default=True, help=said),
    ]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        shown = ", ".join(_short(item) for item in value[:3])
        return f"{len(value)} ({shown}{', ...' if len(value) > 3 else ''})" if value else "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _dashed(word: str) -> str:
    return word.replace("_", "-")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
