"""Tables as records, one dict for each row: for data frames and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from searchcnn.events import Epoch


def list_epochs(curves: Mapping[int, Sequence[Epoch]]) -> list[dict[str, Any]]:
    """Returns a record for each trial and epoch, all with the same keys; None for a metric that was not measured.

    Args:
        curves: The epochs of each trial, by its number.
    """
    epochs = [(trial, epoch) for trial, curve in curves.items() for epoch in curve]
    metrics = dict.fromkeys(name for _, epoch in epochs for name in epoch.metrics)
    return [
        {
            "trial": trial,
            "epoch": epoch.number,
            "seconds": epoch.seconds,
            "learning_rate": epoch.learning_rate,
            **{name: epoch.metrics.get(name) for name in metrics},
        }
        for trial, epoch in epochs
    ]


def tabulate(records: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Any:
    """Returns records as a ``pandas.DataFrame`` if pandas is installed, else as a list of dicts.

    Args:
        records: The rows.
        columns: What they hold, where there may be none.
    """
    if find_spec("pandas") is None:
        return list(map(dict, records))
    import pandas as pd

    return pd.DataFrame(records, columns=columns)


def format_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns records, which have the same keys, as CSV with a heading; nothing for no records."""
    text = io.StringIO()
    if records:
        table = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(records)
    return text.getvalue()
