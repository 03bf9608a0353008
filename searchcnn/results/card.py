"""The model card: a JSON file next to a saved model that says what it is and where it comes from."""

import contextlib
import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from searchcnn.data.preparation import Preparation
from searchcnn.errors import StoreError
from searchcnn.files import read_text, replace_file
from searchcnn.store import StudySummary

PACKAGES = ("searchcnn", "keras", "optuna", "keras-tuner", "numpy")


def make_card(**facts: Any) -> dict[str, Any]:
    """Returns a card with the given facts, the versions of the software, and the time."""
    import keras

    return {
        **facts,
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
        "backend": keras.backend.backend(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def get_card_path(model: Path) -> Path:
    """Returns the path of a model's card: ``best.json`` next to ``best.keras``."""
    return model.with_suffix(".json")


def get_trial_path(model: Path, trial: int) -> Path:
    """Returns where the network of one of a study's best trials is kept, given the file of its best model."""
    return model.parent / "models" / f"trial-{trial:04}{model.suffix}"


def write_card(model: Path, card: Mapping[str, Any]) -> None:
    """Writes a model's card in one step: readers see either the old one or the new one."""
    with replace_file(get_card_path(model)) as new:
        new.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(model: Path) -> dict[str, Any]:
    """Reads the card of a model, and checks that it belongs to it.

    Raises:
        StoreError: If there is no model, or its card is missing or belongs to another model.
    """
    path = get_card_path(model)
    try:
        card: dict[str, Any] = json.loads(read_text(path))
        is_own = card["sha256"] == hash_file(model)
    except FileNotFoundError as error:
        hint = "a study has a model once its first trial is complete, until it is deleted"
        if model.exists():
            hint = f"{model.name} needs its model card beside it, as `searchcnn export` writes it"
        raise StoreError(f"{error.filename}: no such file; {hint}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not a model card ({type(error).__name__}: {error})") from None
    if not is_own:
        raise StoreError(f"{path} describes a file other than {model.name}; run `searchcnn optimize` again to fix it")
    return card


def read_preparation(model: Path, card: Mapping[str, Any]) -> Preparation:
    """Returns how images become pixels for a model, given its card.

    Raises:
        StoreError: If the card does not say so.
    """
    if "preparation" not in card or "classes" not in card:
        raise StoreError(
            f"{get_card_path(model)} does not say how images are prepared: it was written by an older searchcnn; "
            "search again to get a model that does, or load this one with Keras"
        )
    return Preparation(**card["preparation"])


def find_card(model: Path) -> dict[str, Any]:
    """Returns the card of a model without checking it; empty if there is none, or if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        card = json.loads(read_text(get_card_path(model)))
        return card if isinstance(card, dict) else {}
    return {}


def is_foreign(card: Mapping[str, Any], summary: StudySummary) -> bool:
    """Whether a card says that its model comes from none of a study's trials."""
    if summary.best is None or "trial" not in card:
        return False
    scores = [(trial.number, trial.value) for trial in summary.ranking]
    return (card["trial"], _read_score(card, summary.config.objective.metric)) not in scores


def _read_score(card: Mapping[str, Any], metric: str) -> object:
    """Returns the value of a metric in a card; None if there is none."""
    with contextlib.suppress(KeyError, TypeError):
        return card["scores"]["validation"][metric.removeprefix("val_")]
    return None


def hash_file(path: Path) -> str:
    """Returns the hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
