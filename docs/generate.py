"""Writes the reference pages that repeat what the code says: the commands and the keys of a study file.

    python docs/generate.py            writes them
    python docs/generate.py --check    changes nothing; names the pages that are out of date, and exits with 1

Keras is not imported.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import click
from pydantic import BaseModel, BeforeValidator

from searchcnn._bundled import locate_bundled
from searchcnn.cli.commands import INTERRUPTED, LazyGroup, cli
from searchcnn.errors import SearchcnnError, UsageError
from searchcnn.sources import folders
from searchcnn.spaces import discovery
from searchcnn.study import Range, StudyConfig
from searchcnn.study.config import Section

REFERENCE = Path(__file__).parent / "reference"
MARK = "<!-- Written by docs/generate.py: change the code, then run `make docs`. -->"
MANY = 3
"""Names are listed as the type of a key up to this number; its description lists more."""

WORDS = {"integer": "whole number", "string": "text", "boolean": "`true`, `false`", "object": "table"}
"""JSON Schema's types in words, where they are others."""

EXIT_CODES = {
    0: "Success.",
    SearchcnnError.exit_code: "The search stopped, or its database or model cannot be used; finished trials are safe.",
    UsageError.exit_code: "The command, a file or a value is not valid. No trial was started.",
    INTERRUPTED: "Stopped cleanly by Ctrl-C or SIGTERM.",
}

COMPLETION = {
    "Bash": ("~/.bashrc", 'eval "$(_SEARCHCNN_COMPLETE=bash_source searchcnn)"'),
    "Zsh": ("~/.zshrc", 'eval "$(_SEARCHCNN_COMPLETE=zsh_source searchcnn)"'),
    "Fish": ("~/.config/fish/completions/searchcnn.fish", "_SEARCHCNN_COMPLETE=fish_source searchcnn | source"),
}
"""What to write where, so that a shell completes commands."""

VARIABLES = {
    folders.VARIABLE: "Folder of your own datasets: `NAME/train/CLASS/`, `NAME/test/CLASS/`, an archive of them, "
    "or `NAME.npz`.",
    discovery.VARIABLE: "Folders of search spaces, separated like those of `PATH`; searched before `./plugins`.",
    "KERAS_HOME": "Keras's own: below it, `datasets/` and, for weights, `models/` are searched for files that "
    "are already downloaded.",
}


def make_pages() -> dict[Path, str]:
    """Returns the text of each generated page, by its file."""
    return {REFERENCE / "cli.md": _make_cli_page(), REFERENCE / "configuration.md": _make_configuration_page()}


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or checks them; returns the exit code."""
    if "--check" not in arguments:
        for path, text in make_pages().items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [
        path for path, text in make_pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{path}: out of date; run `python docs/generate.py`")
    return 1 if stale else 0


def _make_cli_page() -> str:
    assert isinstance(cli, LazyGroup)
    context = click.Context(cli, info_name="searchcnn")
    commands = list(_list_commands(context, cli))
    listed = [(f"[`{name}`](#{name.replace(' ', '-')})", text) for name, text, _ in commands]
    parts = [
        f"# Commands\n\n{MARK}",
        "`searchcnn COMMAND --help` says the same in a terminal. A command works in the current folder: it looks for\n"
        "studies in `./studies` and for search spaces in `./plugins`, and writes its results to `./studies`.",
        _format_table(("command", "purpose"), listed),
        *(_describe_command(context, name, command) for name, _, command in commands),
        "## Completion in a shell",
        "With one of these lines, the Tab key completes commands, options, names of studies and files.",
        _format_table(
            ("shell", "file", "line"),
            [(name, f"`{file}`", f"`{_escape(line)}`") for name, (file, line) in COMPLETION.items()],
        ),
        "## Exit codes",
        _format_table(("code", "meaning"), [(f"`{code}`", meaning) for code, meaning in EXIT_CODES.items()]),
        "## Environment variables",
        _format_table(("variable", "meaning"), [(f"`{name}`", meaning) for name, meaning in VARIABLES.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _list_commands(
    context: click.Context, group: LazyGroup, prefix: str = ""
) -> Iterator[tuple[str, str, click.Command]]:
    """Yields the name, the short help and the command itself of each command, those of groups behind them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield prefix + name, group.get_short_help(name), command
        if isinstance(command, LazyGroup):
            yield from _list_commands(context, command, f"{prefix}{name} ")


def _describe_command(parent: click.Context, name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [record for option in command.params if (record := option.get_help_record(context))]
    options = [(f"`{names}`", _escape(text)) for names, text in rows if text]
    help_text = _escape(inspect.cleandoc(command.help or ""))
    table = f"\n\n{_format_table(('option', 'meaning'), options)}" if options else ""
    return f"## {name}\n\n```sh\n{usage}\n```\n\n{help_text}{table}"


def _make_configuration_page() -> str:
    example = (locate_bundled("studies") / "digits.toml").read_text(encoding="utf-8").strip()
    forms = """\
## Values that are searched

Where a type above says *range* or *list*, the setting can be fixed or searched:

```toml
batch_size = 64                                         # fixed
optimizer = ["adam", "sgd"]                             # a choice
learning_rate = {min = 5e-4, max = 5e-3, log = true}    # a range
```

The keys of a range:"""
    parts = [
        f"# Study files\n\n{MARK}",
        "A study is described by a TOML file. `studies/NAME.toml` in the current folder is the study `NAME`;\n"
        "`searchcnn studies` lists the built-in ones as well. An unknown key is an error. On the command line,\n"
        "`--set KEY=VALUE` sets any key: `--set training.epochs=5`. The built-in study `digits`:",
        f"```toml\n{example}\n```",
        *_describe_sections(StudyConfig),
        forms,
        _list_keys(Range),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_sections(model: type[BaseModel], section: str = "") -> Iterator[str]:
    """Yields a table of the keys of a model, then those of the models in it."""
    yield f"## `[{section}]`" if section else "## At the top of the file"
    if section:
        yield (inspect.getdoc(model) or "").removeprefix(f"`[{section}]`: ").capitalize()
    yield _list_keys(model)
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            yield from _describe_sections(field.annotation, f"{section}.{name}" if section else name)


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _list_keys(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    rows = [
        (
            f"`{name}`",
            _describe_type(field.metadata, schema["properties"][name]),
            _format_default(name, schema),
            field.description or "",
        )
        for name, field in model.model_fields.items()
        if not _is_section(field.annotation)
    ]
    return _format_table(("key", "type", "default", "meaning"), rows)


def _describe_type(metadata: Sequence[Any], schema: Mapping[str, Any]) -> str:
    """Returns a key's type in words; one that is converted before it is validated may be given as text, too."""
    words = _describe_schema(schema)
    return f"{words} or text" if any(isinstance(validator, BeforeValidator) for validator in metadata) else words


def _describe_schema(schema: Mapping[str, Any]) -> str:
    if forms := schema.get("anyOf") or schema.get("oneOf"):
        words = dict.fromkeys(_describe_schema(form) for form in forms if form.get("type") != "null")
        return " or ".join(word for word in words if not (word == "whole number" and "number" in words))
    if "$ref" in schema:
        return "range" if schema["$ref"].endswith(f"/{Range.__name__}") else "table"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{name}`" for name in schema["enum"]) if len(schema["enum"]) <= MANY else "name"
    if schema["type"] == "array":
        return f"list of {_describe_schema(schema['items'])}s"
    return WORDS.get(schema["type"], schema["type"]) + _describe_minimum(schema)


def _describe_minimum(schema: Mapping[str, Any]) -> str:
    return f", at least {schema['minimum']}" if "minimum" in schema else ""


def _format_default(name: str, schema: Mapping[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "required"
    default = schema["properties"][name].get("default")
    if isinstance(default, dict):
        default = default.get("name") or _format_range(default)
    if default is None:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`" if default != "" else "empty"


def _format_range(values: Mapping[str, Any]) -> str:
    """Returns a range as a study file has it, without the keys that have their defaults."""
    values = {key: value for key, value in values.items() if value}
    return f"{{{', '.join(f'{key} = {json.dumps(value)}' for key, value in values.items())}}}"


def _format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escape(text: str) -> str:
    """Returns plain text as Markdown."""
    return text.replace("<", "&lt;").replace("[", r"\[")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
