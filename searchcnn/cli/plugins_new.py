"""`searchcnn plugins new`."""

from __future__ import annotations

from pathlib import Path

import click

from searchcnn.cli.options import get_workspace

PLUGIN = '''\
"""A few convolution blocks and a small head: a search space to start from."""

from typing import Any

from keras import Input, Model, layers

from searchcnn import SearchSpace
from searchcnn.blocks import convolve, drop, pool


class {title}(SearchSpace):
    """Blocks of one convolution and a pooling; global average; perhaps a dense layer; softmax.

    Reference: own work.
    """

    # The paper or source behind it.
    reference = "own work"

    # Which images it is for: `min_size = (8, 8)` refuses smaller ones, `channels = (1, 3)` other numbers of channels.

    def build(self, hp: Any) -> Model:
        """Builds the network for one setting of its hyperparameters."""
        # hp.Int, hp.Float, hp.Choice and hp.Boolean are Keras Tuner's. A name always has the same range.
        blocks = hp.Int("blocks", 1, 4, default=2)
        batch_norm = hp.Choice("batch_norm", ["before", "none"])

        # Images come as (height, width, channels), scaled to 0..1. The blocks of searchcnn work on images of any size.
        images = x = Input(self.input_shape)
        for block in range(1, blocks + 1):
            filters = hp.Int(f"filters_{{block}}", 16, 128, step=2, sampling="log", default=32)
            x = convolve(x, filters, 3, batch_norm=batch_norm)
            x = pool(x, "max")
        x = layers.GlobalAveragePooling2D()(x)

        # Ask for what matters only sometimes under an `if`: here, the units of a layer that may be missing.
        if hp.Boolean("hidden_layer"):
            x = layers.Dense(hp.Int("units", 32, 256, step=2, sampling="log", default=64), activation="relu")(x)
        x = drop(x, hp.Float("dropout", 0.0, 0.5, step=0.125, default=0.25))

        # The output is class probabilities, the model uncompiled: the study's [training] compiles it.
        return Model(images, layers.Dense(self.num_classes, activation="softmax", dtype="float32")(x))

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points known to be good, which a search tries first; other hyperparameters have their defaults."""
        return {{"three_blocks": {{"blocks": 3, "filters_1": 32, "filters_2": 64, "filters_3": 128}}}}
'''

TEST = '''\
"""The search space `{name}` does what every search space has to; run it with pytest."""

from pathlib import Path

from searchcnn.testing import SearchSpaceTests


class Test{title}(SearchSpaceTests):
    space = "{name}"
    workspace = Path(__file__).parent.parent
    samples = 50
'''


@click.command("new")
@click.argument("name")
def command(name: str) -> None:
    """Write plugins/NAME.py, a search space to start from, and tests/test_NAME.py."""
    from searchcnn.files import check_writable, guard_writing, replace_file

    workspace = get_workspace()
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    files = {workspace.plugins / f"{name}.py": PLUGIN, workspace.root / "tests" / f"test_{name}.py": TEST}
    _check_name(name)
    _check_files(list(files))
    _check_others(name)
    for path in files:  # before one of them is written
        check_writable(path.parent)
    for path, text in files.items():
        with guard_writing(path), replace_file(path) as new:
            new.write_text(text.format(name=name, title=title), encoding="utf-8")
    written = "\n         ".join(str(path.relative_to(workspace.root)) for path in files)
    click.echo(f"Written: {written}\n\n{_format_next_steps(name)}")


def _check_name(name: str) -> None:
    """Checks that a search space can have a name.

    Raises:
        UsageError: If it cannot.
    """
    import keyword

    from searchcnn.errors import UsageError

    if not name.isidentifier() or name.startswith("_") or keyword.iskeyword(name):
        example = "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_") or "my_net"
        example = example if example.isidentifier() and not keyword.iskeyword(example) else f"net_{example}"
        raise UsageError(f"'{name}' cannot name a search space; use letters, digits and '_', such as {example}")


def _check_others(name: str) -> None:
    """Checks that no other search space has the name.

    Raises:
        UsageError: If there is one.
    """
    from searchcnn.errors import UsageError
    from searchcnn.spaces import discover

    same = next((plugin for plugin in discover(get_workspace()) if plugin.name == name), None)
    if same is not None:
        raise UsageError(
            f"there already is a search space '{name}' ({same.source}, {same.location}), which a new one would hide; "
            f"choose another name, such as my_{name}"
        )


def _check_files(files: list[Path]) -> None:
    """Checks that no file would be overwritten.

    Raises:
        UsageError: If one of the files exists.
    """
    from searchcnn.errors import UsageError

    for path in files:
        if path.exists():
            raise UsageError(f"{path} exists; choose another name, or move it away")


def _format_next_steps(name: str) -> str:
    return f"""\
Next:
  searchcnn plugins show {name}     what it searches, and one of its networks
  searchcnn plugins check {name}    its problems, if there are any
  searchcnn optimize digits --name {name} --space {name}"""
