"""A plugin: one search space, by name, and where it is."""

from dataclasses import dataclass
from typing import Literal

Origin = Literal["--plugins-dir", "SEARCHCNN_PLUGINS", "workspace", "built-in", "entry point", "path", "module"]
"""What led to a plugin."""

Status = Literal["ok", "error", "shadowed"]
"""``shadowed``: another plugin of the same name comes first."""


@dataclass(frozen=True)
class Plugin:
    """A row of `searchcnn plugins`.

    Attributes:
        name: What a study calls it.
        source: What led to it.
        location: ``path/to/file.py`` or ``package.module``, with ``:name`` if one object in it is meant.
        status: Whether it can be used, as far as is known.
        error: Why not, in one line.
        description: What it searches, in one line.
    """

    name: str
    source: Origin
    location: str
    status: Status = "ok"
    error: str = ""
    description: str = ""

    @property
    def parts(self) -> tuple[str, str]:
        """The file or module, and the name of the object in it (empty: the only one)."""
        return split_location(self.location)

    @property
    def in_file(self) -> bool:
        """Whether it is in a file rather than in an importable module."""
        return self.parts[0].endswith(".py")


def split_location(location: str) -> tuple[str, str]:
    """Splits off the name of an object.

    >>> split_location("nets.py:Tiny"), split_location("package.nets:Tiny"), split_location("nets.py")
    (('nets.py', 'Tiny'), ('package.nets', 'Tiny'), ('nets.py', ''))
    """
    container, colon, name = location.rpartition(":")
    if not colon or location.endswith((".py", ".ipynb")):  # the colon of C:\nets.py is a drive's
        return location, ""
    return container, name
