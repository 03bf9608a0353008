"""The checks as a pytest class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from searchcnn.study import LimitsConfig
from searchcnn.testing.checks import CHECKS
from searchcnn.testing.conformance import run_check
from searchcnn.testing.subject import LIMITS, Image, Subject


class SearchSpaceTests:
    """One test for each check.

    A subclass names the search space:

    ```python
    from searchcnn.testing import SearchSpaceTests


    class TestTiny(SearchSpaceTests):
        space = "tiny"
    ```

    Attributes:
        space: A plugin's name, ``path/to/file.py:name`` or ``package.module:name``; a class, an instance or a function.
        samples: Number of random points.
        options: Arguments of the space's constructor.
        workspace: Folder with the ``plugins/`` in which a name is looked for; the current one by default.
        folders: More folders of plugins, searched first.
        image: Shape of the images: (height, width, channels) in pixels; 32x32 by default, or the space's smallest.
        classes: Number of classes.
        limits: Limits for the default network and one in ten random ones.
    """

    space: Any
    samples: int = 200
    options: Mapping[str, Any] = {}
    workspace: Path | None = None
    folders: Sequence[Path] = ()
    image: Image | None = None
    classes: int = 10
    limits: LimitsConfig = LIMITS

    _subject: ClassVar[Subject | None] = None

    @pytest.mark.parametrize("check", list(CHECKS))
    def test_conforms(self, check: str) -> None:
        """Runs one check."""
        result = run_check(check, self._get_subject())
        if result.status == "skipped":
            pytest.skip(result.message)
        assert result.passed, result.message

    @classmethod
    def _get_subject(cls) -> Subject:
        """Returns the space under test, shared by all tests of a class so that random points are built only once."""
        if "_subject" not in vars(cls):
            space = cls.__dict__.get("space", cls.space)  # a function would become a method
            cls._subject = Subject(
                space,
                cls.samples,
                cls.options,
                workspace=cls.workspace,
                folders=cls.folders,
                image=cls.image,
                classes=cls.classes,
                limits=cls.limits,
            )
        assert cls._subject is not None
        return cls._subject
