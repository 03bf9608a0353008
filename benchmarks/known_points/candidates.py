"""Points of the built-in search spaces that may become known ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn.files import replace_file

POINTS = Path(__file__).parents[1] / "points"
CANDIDATES = "candidates.json"
SPACES = ("residual", "sequential", "inception")
SHAPE, CLASSES = (32, 32, 3), 10
"""Images for which candidates are drawn."""
DRAWN = 24
"""Candidates of each space that are drawn."""
SIZES = (1e6, 3.4e6, 11.7e6, 40e6)
"""Multiply-accumulates of an image: as many candidates are drawn between each two."""
KEPT = 0.8
"""Probability with which a drawn point has the default of a hyperparameter."""


@dataclass(frozen=True)
class Candidate:
    """A point of a search space that may become a known one.

    Attributes:
        space: The search space.
        name: Its name there.
        values: Its hyperparameters that are not the default.
    """

    space: str
    name: str
    values: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others, whatever its name."""
        return self.space, json.dumps(self.values, sort_keys=True)


def list_candidates(folder: Path) -> Iterator[Candidate]:
    """Yields the candidates: first the default and the baselines of each space, then those that are drawn, in turns."""
    from searchcnn.spaces import load_spaces
    from searchcnn.study import Workspace

    spaces = {loaded.name: (loaded, loaded.create(SHAPE, CLASSES)) for loaded in load_spaces(SPACES, Workspace(folder))}
    for name, (loaded, space) in spaces.items():
        for point, values in {"default": {}, **loaded.baselines(space)}.items():
            yield Candidate(name, point, values)
    path = folder / CANDIDATES
    if not path.exists():
        drawn = {name: draw_points(space, DRAWN) for name, (_, space) in spaces.items()}
        write(path, json.dumps(drawn, indent=1) + "\n")
    for turn, points in enumerate(zip(*json.loads(path.read_text()).values(), strict=True)):
        for name, values in zip(spaces, points, strict=True):
            yield Candidate(name, f"drawn {turn}", values)


def draw_points(space: Any, count: int) -> list[dict[str, Any]]:
    """Returns points around the default of a search space, of each size in `SIZES` as many: what is not the default."""
    random, points = np.random.default_rng(0), []
    wanted = [count // (len(SIZES) - 1)] * (len(SIZES) - 1)
    while any(wanted):
        values, macs = draw_point(space, random)
        size = int(np.searchsorted(SIZES, macs)) - 1
        if 0 <= size < len(wanted) and wanted[size] and values not in points:
            wanted[size] -= 1
            points.append(values)
    return points


def draw_point(space: Any, random: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Draws a point around the default; returns what is not the default, and the multiply-accumulates of an image."""
    import keras

    from searchcnn.search.hyperparameters import CheckedHyperParameters, Parameter
    from searchcnn.training.cost import measure_cost
    from searchcnn.training.network import cut_heads

    drawn: dict[str, Any] = {}

    class Drawn(CheckedHyperParameters):
        def choose(self, parameter: Parameter) -> Any:
            value = parameter.default if random.random() < KEPT else parameter.compute_value(random.random())
            if value != parameter.default:
                drawn[parameter.title] = value
            return value

    hp = Drawn()
    keras.utils.clear_session()
    with keras.StatelessScope(initialize_variables=False):
        model = space.build(hp)
        if len(model.outputs) > 1:
            space.auxiliary_weight(hp)
        return {name: value for name, value in drawn.items() if name in hp.active}, measure_cost(cut_heads(model)).macs


def write(path: Path, text: str) -> None:
    """Writes a file in one step."""
    with replace_file(path) as new:
        new.write_text(text)
