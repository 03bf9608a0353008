"""What must stay the same of search spaces in all runs of a study: their code, and files that they depend on."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from searchcnn.errors import PluginError
from searchcnn.spaces.loading import LoadedSpace

if TYPE_CHECKING:
    from searchcnn.spaces.space import SearchSpace


def identify_spaces(spaces: Sequence[LoadedSpace], created: Mapping[str, "SearchSpace"]) -> dict[str, str]:
    """Returns what must stay the same, by the name of its key.

    Args:
        spaces: The search spaces as they were loaded.
        created: The same search spaces, created, by name.

    Raises:
        PluginError: If a file cannot be read.
    """
    code = {f"search space {space.name}": (space.own_fingerprint or space.fingerprint)[:12] for space in spaces}
    return code | identify_imports(spaces) | _identify_files(created)


def identify_imports(spaces: Sequence[LoadedSpace]) -> dict[str, str]:
    """Returns the part of it that is in files next to search spaces, which they import.

    Earlier versions did not keep it: in their studies the files are assumed to be unchanged.
    """
    return {
        f"search space {space.name}, {file}": digest[:12] for space in spaces for file, digest in space.imports.items()
    }


def _identify_files(created: Mapping[str, "SearchSpace"]) -> dict[str, str]:
    """Returns the part of it that is in other files that search spaces depend on."""
    return {f"search space {name}, {path}": _hash(path) for name, space in created.items() for path in space.files()}


def _hash(path: Path) -> str:
    """Returns 12 hexadecimal digits that identify a file's content (BLAKE2b).

    Raises:
        PluginError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
    except OSError as error:
        raise PluginError(f"{path}: cannot be read: {error.strerror or error}") from None
