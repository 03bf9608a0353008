"""Finds the plugins and studies that come with searchcnn.

A wheel carries the repository's top-level ``plugins/`` and ``studies/`` in this package; a checkout installed with
``pip install --editable`` has them next to the package.
"""

from pathlib import Path
from typing import Literal


def locate_bundled(kind: Literal["plugins", "studies"]) -> Path:
    """Returns the folder of built-in ``plugins`` or ``studies``."""
    here = Path(__file__).resolve().parent
    installed = here / kind
    return installed if installed.is_dir() else here.parent.parent / kind
