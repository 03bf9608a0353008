"""What an inspection of a dataset's images found: their sizes and numbers, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from searchcnn.errors import DataError
from searchcnn.events import Event

Level = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Something that a user should know about a dataset.

    Attributes:
        level: A note changes nothing; a warning may change what a score means; an error stops the search.
        what: What was found, with numbers.
        example: Where, or an example.
        remedy: What was done about it, or what can be.
    """

    level: Level
    what: str
    example: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.what} ({self.example})" if self.example else self.what
        return f"{text}; {self.remedy}" if self.remedy else text


@dataclass(frozen=True)
class Inspection:
    """What was found when a dataset's images were inspected.

    Attributes:
        source: Where the dataset is, for people.
        shape: Shape of the images that a network gets: (height, width, channels).
        resize: How images of another size are brought to this one.
        sizes: Height and width of the smallest, median and largest image, by area.
        counts: Number of images of each class by part.
        new_parts: Parts that searchcnn took from the training images.
        findings: What a user should know, the worst first.
        colours: Number of colours of the median training image, as `count_colours` counts them; 0 if unknown.
    """

    source: str
    shape: Sequence[int]
    resize: str
    sizes: Sequence[Sequence[int]]
    counts: Mapping[str, Mapping[str, int]]
    new_parts: Sequence[str]
    findings: Sequence[Finding]
    colours: float = 0.0

    def describe_parts(self) -> str:
        """Returns the number of images of each part, and which are new: ``9 train, 2 test (taken from train)``."""
        return ", ".join(
            f"{sum(counts.values()):,} {part}{' (taken from train)' if part in self.new_parts else ''}"
            for part, counts in self.counts.items()
        )

    def check(self) -> None:
        """Raises an error if these images cannot be searched.

        Raises:
            DataError: The first error that was found.
        """
        for finding in self.findings:
            if finding.level == "error":
                raise DataError(f"{self.source}: {finding}")


@dataclass(frozen=True)
class ImagesInspected(Event):
    """The images are read and divided; or why they cannot be is among what was found.

    Attributes:
        inspection: What was found.
    """

    inspection: Inspection
