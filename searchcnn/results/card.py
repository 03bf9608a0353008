"""The model card: a JSON file beside a saved model that says what it is and where it comes from."""

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from searchcnn.errors import StoreError
from searchcnn.files import replace_file

PACKAGES = ("searchcnn", "keras", "optuna", "keras-tuner", "numpy")


def make_card(**facts: Any) -> dict[str, Any]:
    """Returns a card with the given facts, the versions of the software and the time."""
    return {
        **facts,
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
        "backend": keras.backend.backend(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def card_path(model: Path) -> Path:
    """Returns where the card of a model lies: ``best.json`` beside ``best.keras``."""
    return model.with_suffix(".json")


def write_card(model: Path, card: Mapping[str, Any]) -> None:
    """Writes a model's card in one step: a reader sees the old one or the new one."""
    with replace_file(card_path(model)) as new:
        new.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(model: Path) -> dict[str, Any]:
    """Reads the card of a model.

    Raises:
        StoreError: If there is no model, or its card is missing or not its own.
    """
    path = card_path(model)
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own = card["sha256"] == sha256(model)
    except FileNotFoundError as error:
        raise StoreError(
            f"{error.filename}: no such file; a study has a model when its first trial is complete, until it is deleted"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not a model card ({type(error).__name__}: {error})") from None
    if not own:
        raise StoreError(f"{path} describes another file than {model.name}; run `searchcnn optimize` again to mend it")
    return card


def sha256(path: Path) -> str:
    """Returns the hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
