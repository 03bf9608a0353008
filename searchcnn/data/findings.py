"""What was found in a dataset: its size, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from searchcnn.errors import DataError
from searchcnn.events import Event

Level = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Something that a user should know of a dataset.

    Attributes:
        level: A note changes nothing, a warning may change what a score means, an error stops the search.
        what: What was found, with numbers.
        example: Where, or an example.
        remedy: What was done about it, or what can be.
    """

    level: Level
    what: str
    example: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        found = f"{self.what} ({self.example})" if self.example else self.what
        return f"{found}; {self.remedy}" if self.remedy else found


@dataclass(frozen=True)
class Report:
    """What a dataset holds.

    Attributes:
        source: Where it is, for people.
        shape: Of an image that a network gets: (height, width, channels).
        resize: How images of another size are brought to it.
        sizes: Height and width of the smallest, median and largest image, by area.
        counts: Number of images of each class by part.
        made: Parts that searchcnn took from the training images.
        findings: What a user should know, the worst first.
        colours: How many the median training image has, as `count_colours` counts; 0 in reports of earlier versions.
    """

    source: str
    shape: Sequence[int]
    resize: str
    sizes: Sequence[Sequence[int]]
    counts: Mapping[str, Mapping[str, int]]
    made: Sequence[str]
    findings: Sequence[Finding]
    colours: float = 0.0

    def parts(self) -> str:
        """Returns the number of images of each part, and which were made: ``48 train, 6 test (taken from train)``."""
        return ", ".join(
            f"{sum(counts.values()):,} {part}{' (taken from train)' if part in self.made else ''}"
            for part, counts in self.counts.items()
        )

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Returns a report from what `dataclasses.asdict` has made of it."""
        return cls(**{**facts, "findings": [Finding(**finding) for finding in facts["findings"]]})

    def check(self) -> None:
        """Stops where the images cannot be searched.

        Raises:
            DataError: With the first error.
        """
        for finding in self.findings:
            if finding.level == "error":
                raise DataError(f"{self.source}: {finding}")


@dataclass(frozen=True)
class DatasetRead(Event):
    """The images are read and divided; or why they cannot be is among what was found.

    Attributes:
        report: What was found.
    """

    report: Report
