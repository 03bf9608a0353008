"""`searchcnn plugins show`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from searchcnn.cli.options import classes_option, get_workspace, json_option, plugins_option, size_option

if TYPE_CHECKING:
    from searchcnn.testing.subject import Subject
    from searchcnn.views.portrait import Portrait

SAMPLES = 64
"""Number of random points from which it is inferred when a hyperparameter is asked for."""


@click.command("show")
@click.argument("name", metavar="NAME|PATH")
@click.option("--baseline", metavar="NAME", help="Draw this baseline's network.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a hyperparameter of that network.")
@click.option("--seed", type=int, metavar="N", help="Draw a random network, the same one for the same number.")
@size_option
@classes_option
@plugins_option
@json_option
def command(
    name: str,
    baseline: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    size: tuple[int, int, int] | None,
    classes: int,
    plugins: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Show a search space: what it searches, its baselines, and one of its networks.

    The network has the default values unless --baseline, --set or --seed say otherwise. Networks are built without
    pretrained weights, and not trained.
    """
    from searchcnn.views.tables import show_status

    if baseline is not None and seed is not None:
        raise click.UsageError("--baseline and --seed both say which network to draw; give only one of them")
    values = dict(map(_parse_assignment, settings))
    with show_status("building random points", as_json):
        portrait = _draw_portrait(_load_subject(name, plugins, size, classes), baseline, values, seed)
    if as_json:
        click.echo(json.dumps(portrait.as_dict(), indent=2, default=str))
        return
    from searchcnn.views.space import print_portrait

    print_portrait(portrait)


def _load_subject(name: str, folders: Sequence[Path], size: tuple[int, int, int] | None, classes: int) -> Subject:
    from searchcnn.backend import start_keras
    from searchcnn.spaces import find

    plugin = find(name, get_workspace(), folders)  # before Keras is started, which takes seconds
    start_keras()
    from searchcnn.spaces import load
    from searchcnn.testing.subject import Subject

    return Subject(load(plugin), SAMPLES, image=size, classes=classes)


def _draw_portrait(subject: Subject, baseline: str | None, values: Mapping[str, Any], seed: int | None) -> Portrait:
    from searchcnn.views.portrait import Portrait

    return Portrait.of(subject, baseline, values, seed)


def _parse_assignment(text: str) -> tuple[str, Any]:
    """Parses ``key=value``; a value that is not JSON is text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"'{text}' is not a setting; write KEY=VALUE, such as blocks=3", param_hint="--set")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, {"True": True, "False": False}.get(value, value)
