"""Replays recorded learning curves through the real engine: plans, pruners and samplers compared in seconds.

What trains a network is replaced by what `benchmarks/record_curves.py` has recorded, and time by a clock that moves on
by the seconds that training took. All else is the real thing: engine, plan, sampler, database.

Run: python -m benchmarks.replay --data digits --seeds 30
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import optuna

from benchmarks.replay.bench import Bench
from benchmarks.replay.curves import CURVES, Recording, make_curves, read_recording
from benchmarks.replay.results import TOTALS, Result, measure
from benchmarks.replay.strategies import TODAY, Strategy, list_strategies


def format_table(bench: Bench, strategies: Sequence[Strategy], seeds: int) -> Iterator[str]:
    """Yields the lines of a Markdown table; the first strategy is that which the others are compared with."""
    lengths = [f"{units} x full" for units in TOTALS]
    columns = ["strategy", *lengths, f"error beside {strategies[0].name}", "epochs to target", "fulls to target"]
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    first: Result | None = None
    for strategy in strategies:
        result = measure(bench, strategy, seeds)
        first = first or result
        errors = [f"{100 * row.mean():.2f} ± {100 * row.std(ddof=1):.2f}" for row in result.errors]
        spent = result.find_typical("epochs"), result.find_typical("seconds") / bench.unit
        typical = ["-" if math.isinf(amount) else f"{amount:.3g}" for amount in spent]
        yield "| " + " | ".join([strategy.name, *errors, result.compare(first), *typical]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["synthetic"], help="names of files in benchmarks/curves")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tracing", type=float, help="seconds, in the place of those that were recorded")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of what the plan is compared with")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    others = [each for each in list_strategies() if each != TODAY and any(part in each.name for part in arguments.only)]
    strategies = [replace(strategy, workers=arguments.workers) for strategy in (TODAY, *others)]
    for name in arguments.data:
        recording = Recording(make_curves(200)) if name == "synthetic" else read_recording(CURVES / f"{name}.json")
        if arguments.tracing is not None:
            recording = replace(recording, curves=[curve.retrace(arguments.tracing) for curve in recording.curves])
        began, bench = time.perf_counter(), Bench(recording)
        print(f"\n### {name}\n\nFinal error in per cent, mean ± standard deviation of {arguments.seeds} seeds.\n")
        for line in format_table(bench, strategies, arguments.seeds):
            print(line, flush=True)
        print(
            f"\n{len(recording.curves)} curves; a full training takes {bench.unit:.3g} s; the target is an error of "
            f"{100 * (1 - bench.find_target()):.2f} %; this took {time.perf_counter() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
