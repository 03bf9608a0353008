"""Measures what features that are computed once save: a study's first trial without, with new and with kept ones.

Usage: ``python benchmarks/features.py STUDY [EPOCHS]``, STUDY being one with the search space `transfer`. The time of a
trial is that from its sampling to its end, the features included.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

WAYS = {"whole network": ["--set", "limits.feature_cache=0"], "features, new": [], "features, kept": []}
QUERY = "select (julianday(datetime_complete) - julianday(datetime_start)) * 86400 from trials where number = 0"


def main() -> None:
    study = str(Path(sys.argv[1]).resolve())
    epochs = sys.argv[2] if len(sys.argv) > 2 else "20"
    with tempfile.TemporaryDirectory() as folder:
        seconds = {way: time_first_trial(study, Path(folder) / way, epochs, options) for way, options in WAYS.items()}
    for way, time in seconds.items():
        print(f"{way:15} {time:7.1f} s for {epochs} epochs: {seconds['whole network'] / time:.1f} times as fast")


def time_first_trial(study: str, folder: Path, epochs: str, options: list[str]) -> float:
    """Returns the seconds that the default point took."""
    folder.mkdir()
    fixed = ["--set", f"training.epochs={epochs}", "--set", f"training.patience={epochs}"]
    command = [sys.executable, "-m", "searchcnn", "optimize", "--study", study, "--name", "timed", "--trials", "1"]
    cache = os.environ | {"XDG_CACHE_HOME": str(folder.parent / "cache")}
    subprocess.run([*command, "--quiet", *fixed, *options], cwd=folder, env=cache, check=True)
    with sqlite3.connect(folder / "studies" / "timed.db") as database:
        return float(database.execute(QUERY).fetchone()[0])


if __name__ == "__main__":
    main()
