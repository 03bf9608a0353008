"""The command line: thin commands over the rooms; nothing heavy is imported before a command needs it."""

from searchcnn.cli.commands import main

__all__ = ["main"]
