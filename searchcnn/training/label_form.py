"""In what form a network gets its labels."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class LabelForm:
    """The form of the labels that the losses of a network take.

    Attributes:
        one_hot: Whether each output's loss takes probabilities, shape (batch, classes), rather than class numbers,
            shape (batch,).
        classes: Number of classes.
        names: Names of the outputs, where labels come as a mapping; else they are a tuple. One output has bare labels.
    """

    one_hot: tuple[bool, ...] = (False,)
    classes: int = 0
    names: tuple[str, ...] = ()

    def arrange(self, numbers: Any, probabilities: Any) -> Any:
        """Returns labels for all outputs.

        Args:
            numbers: Class numbers; what outputs get that do not take probabilities.
            probabilities: What the others get.
        """
        labels = tuple(probabilities if one_hot else numbers for one_hot in self.one_hot)
        if len(labels) == 1:
            return labels[0]
        return dict(zip(self.names, labels, strict=True)) if self.names else labels


NUMBERS: Final = LabelForm()
"""One output, whose loss takes class numbers."""
