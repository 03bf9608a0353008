"""What is known about a setting of the training, said once, where a dataclass declares it."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any, Literal, get_type_hints

AUTO = "auto"
"""In a study file: what suits the images and the network."""


@dataclass(frozen=True)
class Setting:
    """A setting that a study file fixes or searches; it is part of a field's annotation.

        rotation: Annotated[float, Setting("Rotate images ...", at_least=0, at_most=180, since="0.2.0")] = 0.0

    The field's own default applies where nobody asks for the setting: to a network that has no use for it, and to a
    study that was begun before the setting was added.

    Attributes:
        description: For the reference of the study file.
        default: The value in a new study whose file does not set it; the field's own default, if it is None.
        concerns: When it matters: "images" always does; "batches" where a network is trained in
            batches, and not by a solver; "optimizer" where the builder has not compiled the network itself.
        optimizers: Those that have it; all if it is empty.
        at_least: Smallest number.
        above: A number that it has to be above.
        at_most: Largest number.
        below: A number that it has to be below.
        since: The version that added it; empty for those of the first version, which every study has.
        type: Its type in a study file; the field's own type, if it is None.
        before: The field's own default; `list_settings` fills it in.
        auto: What "auto", its default then, stands for in words; empty if there is no such value.
    """

    description: str
    default: Any = None
    concerns: Literal["images", "batches", "optimizer"] = "batches"
    optimizers: Sequence[str] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    since: str = ""
    type: Any = None
    before: Any = None
    auto: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is a number, which has bounds and ranges."""
        return self.type in (int, float)

    @property
    def bounds(self) -> str:
        """Its bounds in words, as in "at least 0 and below 1"."""
        words = ("at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below)
        return " and ".join(f"{text} {number}" for text, number in words if number is not None)

    def allows(self, number: float) -> bool:
        """Whether a number is within the bounds."""
        return (
            (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )


@dataclass(frozen=True)
class Before:
    """The value of a key of a study file that was added later, for a study that was begun without it.

    Attributes:
        value: The value.
    """

    value: Any


def list_settings(owner: type) -> dict[str, Setting]:
    """Returns the settings that a dataclass declares, by name, with those of a dataclass that it holds."""
    assert is_dataclass(owner)
    hints = get_type_hints(owner, include_extras=True)
    settings: dict[str, Setting] = {}
    for field in fields(owner):
        hint = hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            settings |= list_settings(hint)
        for setting in getattr(hint, "__metadata__", ()):
            if isinstance(setting, Setting):
                before = None if field.default is MISSING else field.default
                default = AUTO if setting.auto else before if setting.default is None else setting.default
                kind = setting.type or hint.__origin__
                settings[field.name] = replace(setting, default=default, type=kind, before=before)
    return settings
