"""What each setting of the recipe is worth: one network, trained for some passes, with one setting changed at a time.

Run: python benchmarks/recipe.py --data fashion_mnist --passes 6 --folder /tmp/recipe
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from searchcnn import Study
from searchcnn.backend import own_process

RECIPE: Mapping[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.008,
    "weight_decay": 0.02,
    "label_smoothing": 0.05,
    "batch_size": 64,
}
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "the recipe": {},
    "adam, no weight decay": {"optimizer": "adam", "weight_decay": 0.0},
    "no label smoothing": {"label_smoothing": 0.0},
    "learning rate 0.002": {"learning_rate": 0.002},
    "learning rate 0.004": {"learning_rate": 0.004},
    "learning rate 0.016": {"learning_rate": 0.016},
    "batches of 32": {"batch_size": 32},
    "batches of 128": {"batch_size": 128},
    "one cycle": {"schedule": "one_cycle"},
    "not moved": {"shift": 0.0},
    "not mirrored": {"flip": False},
    "float32": {"precision": "float32"},
}
"""What differs from the recipe, by what it is called in the table."""


def train(data: str, name: str, changes: Mapping[str, Any], arguments: argparse.Namespace) -> str:
    """Trains the first known point of a study and returns a row of the table."""
    training = {f"training.{key}": value for key, value in {**RECIPE, **changes}.items()}
    budget = {"budget.trials": 1, "budget.timeout": None, "training.epochs": arguments.passes, "seed": arguments.seed}
    study = Study(name, like=data, settings={"spaces": ["residual"], **budget, **training}, workspace=arguments.folder)
    began = time.perf_counter()
    study.optimize(workers=0)
    seconds = time.perf_counter() - began
    return f"| {name.replace('-', ' ')} | {study.best.value:.4f} | {study.evaluate().accuracy:.4f} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist", help="a study that comes with searchcnn")
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="where the studies go")
    arguments = parser.parse_args()
    own_process()
    rows = ["| | validation | test | seconds |", "| --- | --- | --- | --- |"]
    for title, changes in CHANGES.items():
        rows.append(train(arguments.data, title.replace(" ", "-").replace(",", ""), changes, arguments))
        print(rows[-1], flush=True)
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
