"""Reads a study file and settings that replace its own, and says in one line what is wrong with them."""

import copy
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from searchcnn.errors import StudyFileError, nearest
from searchcnn.files import read_text
from searchcnn.study.config import ComponentConfig, StudyConfig
from searchcnn.study.objective import LARGER_IS_BETTER, SMALLER_IS_BETTER
from searchcnn.study.values import BRANCHES

FORMS = BRANCHES | {"float", "int"}
"""What is in the location of a problem besides keys: the forms that a value can have."""


def load(path: Path, settings: Mapping[str, Any] | None = None) -> StudyConfig:
    """Reads and validates a study file.

    Args:
        path: The TOML file.
        settings: Other values by dotted key, such as ``{"training.epochs": 5}``; they take precedence.

    Raises:
        StudyFileError: If the file cannot be read, or a key or value is not valid.
    """
    return configure(read_table(path), str(path), settings)


def configure(table: Mapping[str, Any], source: str, settings: Mapping[str, Any] | None = None) -> StudyConfig:
    """Validates a study given as a table.

    Args:
        table: What a study file says; it is not changed.
        source: Names it in messages.
        settings: As in `load`.

    Raises:
        StudyFileError: If a key or value is not valid.
    """
    whole = copy.deepcopy(dict(table))
    for key, value in (settings or {}).items():
        if not isinstance(key, str):
            raise StudyFileError(f"settings: {key!r}: unknown key; expected a text such as training.epochs")
        _put(whole, key, value)
    try:
        return validate(whole, source)
    except StudyFileError as error:
        if not settings or _find_problem(table, source) == str(error):
            raise
        raise StudyFileError(str(error).replace(source, "settings", 1)) from None


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Parses settings as the command line has them, such as ``training.epochs=5``.

    Args:
        texts: A dotted key and a value each; the value is read as TOML, or as plain text if it is not TOML.

    Raises:
        StudyFileError: If one of them is not a key and a value.
    """
    return dict(map(_parse, texts))


def validate(table: Mapping[str, Any], source: str) -> StudyConfig:
    """Validates a study given as a table; ``source`` names it in messages.

    Raises:
        StudyFileError: If a key or value is not valid.
    """
    try:
        config = StudyConfig.model_validate(table)
    except ValidationError as error:
        raise StudyFileError(f"{source}: {_format_error(error)}") from None
    if config.search.known_direction is None:
        metric = config.search.objective
        hint = nearest(metric, [f"val_{name}" for name in LARGER_IS_BETTER | SMALLER_IS_BETTER])
        raise StudyFileError(
            f"{source}: search.objective: '{metric}' is not a metric of Keras{hint}; set search.direction to "
            "'maximize' if more of it is better, else to 'minimize'"
        )
    return config


def _find_problem(table: Mapping[str, Any], source: str) -> str:
    """Returns what is wrong with a table itself; empty if nothing is wrong."""
    try:
        validate(table, source)
    except StudyFileError as error:
        return str(error)
    return ""


def read_table(path: Path) -> dict[str, Any]:
    """Reads a study file as it is.

    Raises:
        StudyFileError: If it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        is_path = "Unescaped" in str(error) or "hex value" in str(error)  # "C:\\Users", whose \\U begins a character
        hint = "; write a path with backslashes in single quotes, or with / instead" if is_path else ""
        raise StudyFileError(f"{path}: not valid TOML: {error}{hint}") from None
    except UnicodeDecodeError as error:
        raise StudyFileError(f"{path}: not UTF-8 text: {error}; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of nested lists
        raise StudyFileError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise StudyFileError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise StudyFileError(f"--set {setting}: expected KEY=VALUE, such as training.epochs=5")
    return key.strip(), _parse_value(text.strip())


def _parse_value(text: str) -> Any:
    """Reads a value as TOML; or else as plain text, or as a list of such: shells take the quotes away.

    >>> _parse_value("[1, 2]"), _parse_value("adam"), _parse_value("[residual, nets.py:build]")
    ([1, 2], 'adam', ['residual', 'nets.py:build'])
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        is_list = text.startswith("[") and text.endswith("]") and not set(text[1:-1]) & set("[]{}'\"")
        return [_parse_value(item.strip()) for item in text[1:-1].split(",") if item.strip()] if is_list else text


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        below = table.setdefault(section, {})
        if not isinstance(below, dict):
            below = table[section] = {"name": below} if section in ("sampler", "pruner") else {}
        table = below
    table[last] = value


def _format_error(error: ValidationError) -> str:
    """Turns the first problem into ``training.epoch: unknown key; did you mean 'epochs'?``."""
    # A misspelt key comes first: it is often why another one is missing.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    unknown = first["type"] == "extra_forbidden"
    keys = _list_keys(first["loc"], unknown)
    key = ".".join(keys)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if unknown:
        return f"{key}: unknown key{_suggest_key(keys)}{more}"
    if first["type"] == "missing":
        return f"{key}: missing; add it to the file or give --set {key}=...{more}"
    value = "" if first["type"] == "value_error" else f", not {first['input']!r}"
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("List ")
    problem = problem.removesuffix(" after validation, not 0")
    return f"{key}: {problem}{value}{_suggest(first)}{more}"


def _list_keys(location: Sequence[int | str], unknown: bool) -> list[str]:
    """Returns the keys that lead to a problem: a location without the forms of `searchcnn.study.values`."""
    forms = range(
        2, len(location) - unknown
    )  # they follow a section and a setting; an unknown key may have such a name
    return [str(part) for index, part in enumerate(location) if index not in forms or part not in FORMS]


def _suggest_key(keys: Sequence[str]) -> str:
    """Returns what may be meant by an unknown key: one of that name elsewhere, or else the nearest one."""
    known_keys, places = _list_known_keys(keys[:-1]), _locate_keys(StudyConfig)
    name = next(iter(difflib.get_close_matches(keys[-1], [*known_keys, *places], n=1)), None)
    if name is None:
        return f"; expected one of {', '.join(known_keys)}"
    meant = [name] if name in known_keys else places[name]
    return f"; did you mean {' or '.join(map(repr, meant))}?"


def find_key(name: str) -> str | None:
    """Returns the dotted key that ends in a name, such as ``training.epochs``; None if there is none, or several.

    >>> find_key("epochs"), find_key("name")
    ('training.epochs', None)
    """
    places = _locate_keys(StudyConfig).get(name, ())
    return places[0] if len(places) == 1 else None


def _locate_keys(model: type[BaseModel], section: str = "") -> dict[str, list[str]]:
    """Returns the dotted keys below a section that hold a value, by their last name."""
    places: dict[str, list[str]] = {}
    for name, field in model.model_fields.items():
        key, kind = f"{section}{name}", field.annotation
        below = {name: [key]}
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            below = _locate_keys(kind, f"{key}.")
        for last, keys in below.items():
            places.setdefault(last, []).extend(keys)
        if kind is ComponentConfig:  # whose name is enough
            places.setdefault(name, []).append(key)
    return places


def _list_known_keys(sections: Sequence[str]) -> list[str]:
    model: type[BaseModel] = StudyConfig
    for name in sections:
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ["min", "max", "step", "log"]
        model = annotation
    return list(model.model_fields)


def _suggest(problem: Mapping[str, Any]) -> str:
    if problem["type"] != "literal_error":
        return ""
    expected = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    return nearest(str(problem["input"]), expected)
