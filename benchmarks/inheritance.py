"""What it would be worth if new networks began from the weights of earlier ones that share most of their layers.

First, how many could: of the networks drawn at random from a search space, those with at least half of their weights in
a run of layers, from the input on, that the default, a baseline, or a network drawn before has just so. Then what it
brings: changes of the default network, each trained from nothing and from the default's weights, as far as these fit.

Run: taskset -c 0 python -m benchmarks.inheritance cifar10.npz residual/blocks_3=2 residual/activation=silu
"""

from __future__ import annotations

import argparse
import ast
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt

from benchmarks.known_points.candidates import CLASSES, SHAPE, SPACES
from benchmarks.known_points.recording import UNMIRRORED, fit, load_images, make_network, make_trainer, take_images

DRAWN = 60
"""Networks that are drawn of each search space."""
STRETCHES, EARLIER = (1, 3, 8), 2
"""Passes in each cycle of the learning rate, and how many of the cycles the default network is trained before."""
Shape = tuple[int, ...]
Weights = Sequence[npt.NDArray[Any]]


def count_shared(shapes: Sequence[Shape], earlier: Sequence[Shape]) -> int:
    """Returns how many arrays, from the first on, have the shapes of an earlier network's."""
    pairs = enumerate(zip(shapes, earlier, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(shapes), len(earlier)))


def measure_share(shapes: Sequence[Shape], earlier: Sequence[Shape]) -> float:
    """Returns the share of a network's weights that an earlier network has just so."""
    sizes = [math.prod(shape) for shape in shapes]
    return sum(sizes[: count_shared(shapes, earlier)]) / sum(sizes)


def draw_shares(name: str) -> Iterator[float]:
    """Yields, for networks drawn at random, the largest share that an earlier one has."""
    import keras

    from searchcnn.search.hyperparameters import CheckedHyperParameters, Parameter
    from searchcnn.spaces import load_space
    from searchcnn.study import Workspace

    random = np.random.default_rng(0)

    class Drawn(CheckedHyperParameters):
        def choose(self, parameter: Parameter) -> Any:
            return parameter.compute_value(random.random())

    loaded = load_space(name, Workspace(Path.cwd()))
    space = loaded.create(SHAPE, CLASSES)

    def list_shapes(hp: CheckedHyperParameters) -> list[Shape]:
        keras.utils.clear_session()
        with keras.StatelessScope(initialize_variables=False):
            return [tuple(weight.shape) for weight in space.build(hp).trainable_weights]

    known = [{}, *loaded.baselines(space).values()]
    earlier = [list_shapes(CheckedHyperParameters(dict(values))) for values in known]
    for _ in range(DRAWN):
        shapes = list_shapes(Drawn())
        yield max(measure_share(shapes, other) for other in earlier)
        earlier.append(shapes)


def train(
    trainer: Any, values: dict[str, Any], stretches: Sequence[int], seed: int, earlier: Weights = ()
) -> tuple[list[float], list[npt.NDArray[Any]]]:
    """Trains a network, from the weights of an earlier one as far as they fit; returns scores and weights."""
    from searchcnn.backend import free_graphs

    with free_graphs():
        network = make_network(trainer, values, stretches, seed)
        own = network.model.get_weights()
        shared = count_shared([weight.shape for weight in own], [weight.shape for weight in earlier])
        network.model.set_weights([*earlier[:shared], *own[shared:]])
        ends = fit(trainer, network, seed)
    return [end["val_accuracy"][-1] for end in ends], network.model.get_weights()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="an archive of images")
    parser.add_argument("changes", nargs="*", help="of the default network: SPACE/NAME=VALUE")
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    arguments = parser.parse_args()
    from searchcnn.backend import start_keras

    start_keras()
    for name in SPACES:
        shares = list(draw_shares(name))
        print(f"{name}: {sum(share >= 0.5 for share in shares)} of {DRAWN} share half of their weights", flush=True)
    dataset = load_images(take_images(arguments.data, None, arguments.images))
    trainer = make_trainer(dataset, is_mirrored=arguments.data.stem not in UNMIRRORED)
    passes = list(itertools.accumulate(STRETCHES))
    for change in arguments.changes:
        key, _, text = change.partition("=")
        space = key.partition("/")[0]
        value = ast.literal_eval(text) if text[0].isdigit() or text in ("True", "False") else text
        scores, weights = train(trainer, {"space": space}, STRETCHES[:EARLIER], seed=0)
        print(f"{space}'s default after {passes[: len(scores)]} passes: {[round(score, 4) for score in scores]}")
        for name, earlier in (("from nothing", ()), ("from its weights", weights)):
            scores, _ = train(trainer, {"space": space, key: value}, STRETCHES, 1, earlier)
            print(f"{change}, {name}: {[round(score, 4) for score in scores]} after {passes} passes", flush=True)


if __name__ == "__main__":
    main()
