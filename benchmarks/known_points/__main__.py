"""Records candidates, or chooses among them; see the package."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import benchmarks.known_points
from benchmarks.known_points.candidates import POINTS
from benchmarks.known_points.choosing import show_choices
from benchmarks.known_points.recording import IMAGES, record


def main() -> None:
    parser = argparse.ArgumentParser(description=(benchmarks.known_points.__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=POINTS, help="where the records are")
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="train the candidates on each data set")
    recording.add_argument("--data", nargs="+", required=True, metavar="NPZ[:SIZE]", help="archives of images")
    recording.add_argument("--images", type=int, default=IMAGES, help="to train on")
    recording.set_defaults(run=record)
    choosing = commands.add_parser("choose", help="choose those that a search should try first")
    choosing.add_argument("--count", type=int, default=10, help="of each space")
    choosing.add_argument("--without", help="a data set that nothing is chosen by")
    choosing.set_defaults(run=show_choices)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
