"""What a study does by itself, besides its settings: it continues with the rules that it was begun with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self


@dataclass(frozen=True)
class Rules:
    """The rules of a study.

    Attributes:
        version: Their number; it is kept with the study.
    """

    version: int

    @classmethod
    def of(cls, identity: Mapping[str, str]) -> Self:
        """Returns the rules that a study was begun with, given its identity."""
        return cls(min(RULES.version, int(identity.get("rules", 1))))

    @property
    def builders_count(self) -> bool:
        """Whether what a builder brings along counts.

        That is its scaling of pixels, its dtype policy, the batch size of its own ``fit``, and Keras' batch
        normalisation where epochs are short.
        """
        return self.version >= 2

    @property
    def views_are_kept(self) -> bool:
        """Whether images that are changed at random before a frozen part of a network are seen in a few views only.

        The features of those are computed once.
        """
        return self.version >= 3

    @property
    def only_trained_count(self) -> bool:
        """Whether a budget in trials counts those whose training began, and not points that cannot be trained."""
        return self.version >= 4

    @property
    def indices_are_stored(self) -> bool:
        """Whether Optuna has the index of a value on a logarithmic scale with steps, instead of the value."""
        return self.version < 4

    @property
    def identity(self) -> dict[str, str]:
        """What the study's identity holds of them; that of the first version holds nothing."""
        return {"rules": str(self.version)} if self.version > 1 else {}

    @property
    def lacking(self) -> str:
        """How a study with these rules differs from a new one, in words; empty if it does not.

        >>> Rules(3).lacking
        'points that cannot be trained count as trials'
        >>> RULES.lacking
        ''
        """
        lacking = {
            "a network that scales pixels itself still gets 0..1": not self.builders_count,
            "images are changed again in each epoch before a frozen part, too": not self.views_are_kept,
            "points that cannot be trained count as trials": not self.only_trained_count,
        }
        return "; ".join(text for text, is_lacking in lacking.items() if is_lacking)

    @property
    def remark(self) -> str:
        """One line for the user about what is `lacking`; empty if there is nothing."""
        return self.lacking and (
            f"this study continues as an earlier version started it: {self.lacking}; start a new study with --name "
            "for what has changed"
        )


RULES: Final = Rules(4)
"""The rules of a new study."""
