"""The `searchcnn` command and its subcommands."""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import searchcnn
from searchcnn.errors import SearchcnnError, nearest

COMMANDS = {
    "optimize": "Search a study until its budget is spent.",
    "status": "Show a study's trials.",
    "evaluate": "Score a study's best model on the test images.",
    "export": "Copy a study's best model to a file.",
    "studies": "List the studies and their state.",
    "datasets": "List the datasets and where they are.",
    "plugins": "List the search spaces and their state.",
}
"""Subcommands and their short help; each lives in the module of its name and is imported when it is run."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count signals."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the commands in the order in which a user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"searchcnn.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, and names the nearest one if there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command '{args[0]}'{nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(searchcnn.__version__, prog_name="searchcnn")
def cli() -> None:
    """Find a convolutional network for your images.

    Try it without any download:

        searchcnn optimize --study digits
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line; errors meant for the user are one line without a traceback.

    Args:
        args: The arguments; those of the process by default.
    """
    given = list(sys.argv[1:] if args is None else args)
    try:
        code = cli.main(args=given, prog_name="searchcnn", standalone_mode=False, obj=given)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SearchcnnError as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough: `searchcnn status x | head`
        sys.exit(0)
