"""The `searchcnn` command and its subcommands."""

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

import searchcnn
from searchcnn.backend import own_process
from searchcnn.cli.options import get_workspace
from searchcnn.errors import SearchcnnError, StoreError, nearest
from searchcnn.files import REFUSED, explain_refusal, is_full

COMMANDS = {
    "optimize": "Search a study, or your images, until the budget is spent.",
    "worker": "Join the search of a study from any shell or machine.",
    "status": "Show a study's trials.",
    "report": "Write a study's report: one HTML page with all that was found.",
    "evaluate": "Score a study's best model on the test images.",
    "labels": "Name the images that are likely filed under the wrong class.",
    "predict": "Classify image files with a study's best model.",
    "export": "Copy a study's best model to a file.",
    "studies": "List, write, copy and delete studies.",
    "datasets": "List the datasets and where they are, or show one.",
    "plugins": "List, show, check and write search spaces.",
}
"""Subcommands and their short help; each is in the module of its name, which is imported when the command is run."""

SYNONYMS = {
    **dict.fromkeys(("train", "fit", "search", "tune", "run", "start", "resume", "continue", "go"), "optimize"),
    **dict.fromkeys(("join",), "worker"),
    **dict.fromkeys(("show", "results", "result", "leaderboard", "trials", "best", "summary"), "status"),
    **dict.fromkeys(("watch", "monitor", "log", "logs", "history"), "status"),
    **dict.fromkeys(("dashboard", "plot", "curves", "html"), "report"),
    **dict.fromkeys(("test", "score", "eval", "validate"), "evaluate"),
    **dict.fromkeys(("errors", "clean", "relabel"), "labels"),
    **dict.fromkeys(("classify", "infer", "inference"), "predict"),
    **dict.fromkeys(("save", "convert", "download"), "export"),
    **dict.fromkeys(("list", "ls", "init", "new", "copy", "delete", "remove", "rm"), "studies"),
    **dict.fromkeys(("data", "inspect", "explore"), "datasets"),
    **dict.fromkeys(("spaces", "space", "models", "check"), "plugins"),
    **dict.fromkeys(("help", "version"), "--{}"),
}
"""Commands that people type because other tools have them, and what they are called here."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, following the convention of shells."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed.

    Args:
        args: Arguments of a click group.
        lazy: The short help of each command, by name, in the order in which users need them.
        module: Prefix of the names of the commands' modules.
        options: Options of a click group.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], module: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy
        self._module = module

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the commands."""
        return list(self._lazy)

    def get_short_help(self, name: str) -> str:
        """Returns the short help of a command, without importing it."""
        return self._lazy[name]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        if cmd_name not in self._lazy:
            return None
        module = importlib.import_module(f"{self._module}{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds a command; if there is none with that name, suggests the nearest one."""
        if args and args[0] not in self._lazy and not args[0].startswith("-"):
            raise click.UsageError(f"no command '{args[0]}'{self._suggest(args[0], ctx)}", ctx)
        return super().resolve_command(ctx, args)

    def _suggest(self, name: str, ctx: click.Context) -> str:
        """Returns what may be meant by a command that does not exist."""
        if ctx.parent is not None:  # of `studies`, `datasets` or `plugins`, which list by themselves
            is_list = name in ("list", "ls")
            return f"; `{ctx.command_path}` lists them" if is_list else nearest(name, self._lazy)
        if name not in SYNONYMS and (name in get_workspace().list_study_files() or Path(name).exists()):
            return f"; did you mean 'optimize {name}'?"
        words = {**SYNONYMS, **dict(zip(self._lazy, self._lazy, strict=True))}
        close = difflib.get_close_matches(name, words, n=1)
        return f"; did you mean '{words[close[0]].format(close[0])}'?" if close else ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lazy.items()))


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    module="searchcnn.cli.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(searchcnn.__version__, prog_name="searchcnn")
def cli() -> None:
    """Find a convolutional network for your images.

    Try it without any download:

        searchcnn optimize --study digits

    Search your own images, sorted into a folder for each class:

        searchcnn optimize --data pets
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line; errors meant for the user are one line without a traceback.

    Args:
        args: The arguments; those of the process by default.
    """
    own_process()
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        code = cli.main(args=arguments, prog_name="searchcnn", standalone_mode=False, obj=arguments)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SearchcnnError as error:
        _exit_with(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough: `searchcnn status x | head`
        sys.exit(0)
    except OSError as error:
        if error.errno in REFUSED and error.filename:
            _exit_with(StoreError(f"{error.filename}: {error.strerror}; make it readable and writable for you"))
        if not is_full(error):
            raise
        with contextlib.suppress(OSError):  # there is no space for the rest of the output either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _exit_with(explain_refusal(f"{error.filename or 'what is printed'}: cannot be written", error))


def _exit_with(error: SearchcnnError) -> NoReturn:
    """Prints an error and exits with its exit code."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
    sys.exit(error.exit_code)
