"""A network in lines, as it is drawn in a terminal: from the images down, with branches and repetitions."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import keras

from searchcnn.graph import list_calls, make_functional
from searchcnn.text import TIMES
from searchcnn.training.cost import cost

FOLDED = ("Activation", "BatchNormalization", "Dropout", "LayerNormalization", "ReLU", "SpatialDropout2D")
"""Layers that are shown in the line of the layer before them."""
SHORT = {
    "BatchNormalization": "BatchNorm",
    "GlobalAveragePooling2D": "GlobalAveragePooling",
    "GlobalMaxPooling2D": "GlobalMaxPooling",
    "MaxPooling2D": "MaxPooling",
    "AveragePooling2D": "AveragePooling",
}
"""Shorter names of layers."""


@dataclass(frozen=True)
class Line:
    """One line of a drawing: a layer, with what follows it and does not change its shape.

    Attributes:
        rule: The rules of the branches that it lies in.
        text: What it is.
        shape: Of its output: (height, width, channels), or fewer; empty if the line is no layer.
        params: Number of weights, of all repetitions.
        macs: Multiply-accumulates of one image, of all repetitions.
    """

    rule: str
    text: str
    shape: tuple[int | None, ...] = ()
    params: int = 0
    macs: int = 0


def outline(model: Any) -> list[Line]:
    """Draws a network.

    A point from which several paths go, up to the one where they meet again, is a block: `╭` begins its first path,
    `├` each further one, and `╰` is where they meet. Lines and blocks that repeat are shown once, with their number.

    Args:
        model: A functional or sequential Keras model. Outputs after the first are auxiliary heads.
    """
    steps = _steps(make_functional(model))
    return _merged(_Drawing(steps).segments(steps[0]))


@dataclass(eq=False)
class _Step:
    """One use of a layer or operation.

    Attributes:
        operation: The layer.
        is_first: Whether it is the layer's first use.
        shape: Of its output, without the batch.
        before: The steps whose outputs it takes.
        following: The steps that take its output; one that takes it twice is there twice.
        is_main: Whether the first output depends on it; it belongs to an auxiliary head otherwise.
        meeting: The next step that all paths from it go through, if there is one.
    """

    operation: Any
    is_first: bool
    shape: tuple[int | None, ...] = ()
    before: list["_Step"] = field(default_factory=list)
    following: list["_Step"] = field(default_factory=list)
    is_main: bool = False
    meeting: Optional["_Step"] = None

    @property
    def next(self) -> list["_Step"]:
        """What comes next: on the main path, or in a head."""
        return [step for step in self.following if step.is_main == self.is_main]


class _Drawing:
    """Walks through the steps of a network, given in an order in which each comes after those before it."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        place = {step: index for index, step in enumerate(steps)}
        for step in reversed(steps):
            step.meeting = _meeting(step, place)

    def segments(self, step: _Step | None, stop: _Step | None = None) -> Iterator[list[Line]]:
        """Yields the lines of what follows each other, from a step to the one before ``stop``.

        A segment is one line, or the lines of a block with its meeting point.
        """
        while step is not None and step is not stop:
            last, line = _line(step, stop)
            yield [line]
            yield from self._heads(last)
            while len(last.next) > 1:
                block, meeting = self._paths(last, stop), last.meeting
                if meeting is None or meeting is stop:
                    yield block
                    return
                last, line = _line(meeting, stop)
                yield [*block, replace(line, rule="╰ ")]
                yield from self._heads(last)
            step = next(iter(last.next), None)

    def _paths(self, step: _Step, stop: _Step | None) -> list[Line]:
        """Returns the lines of the paths from a step to the one where they meet."""
        found: list[Line] = []
        for start in step.next:
            path = _merged(self.segments(start, step.meeting or stop)) or [Line("", "identity")]
            found += _ruled(path, "├ " if found else "╭ ", "│ ")
        return found

    def _heads(self, step: _Step) -> Iterator[list[Line]]:
        """Yields the auxiliary heads that leave the main path after a step."""
        for start in step.following:
            if step.is_main and not start.is_main:
                yield [Line("┆ ", "auxiliary head, cut off when the network is saved")]
                yield _ruled(_merged(self.segments(start)), "┆ ", "┆ ")


def _steps(model: Any) -> list[_Step]:
    """Returns the steps of a functional model in the order in which they are computed, from its images on."""
    seen: set[int] = set()
    makers: dict[int, _Step] = {}
    steps = []
    for call in list_calls(model):
        step = _Step(call.operation, id(call.operation) not in seen, tuple(call.output_tensors[0].shape[1:]))
        seen.add(id(call.operation))
        for tensor in call.input_tensors:
            step.before.append(makers[id(tensor)])
            makers[id(tensor)].following.append(step)
        makers |= {id(tensor): step for tensor in call.output_tensors}
        steps.append(step)
    _mark(makers[id(model.outputs[0])])
    return steps


def _mark(step: _Step) -> None:
    """Marks all steps that a step depends on, and itself."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if not step.is_main:
            step.is_main = True
            waiting += step.before


def _meeting(step: _Step, place: Mapping[_Step, int]) -> _Step | None:
    """Returns the next step that all paths from one go through; those of later steps are known."""
    ends = set(step.next)
    while len(ends) > 1:
        first = min(ends, key=lambda end: place[end])
        if first.meeting is None:
            return None
        ends = (ends - {first}) | {first.meeting}
    return next(iter(ends), None)


def _line(step: _Step, stop: _Step | None) -> tuple[_Step, Line]:
    """Returns the last of the steps that are shown in the line of one, and that line."""
    run = [step]
    while len(following := run[-1].following) == 1:
        if following[0] is stop or type(following[0].operation).__name__ not in FOLDED:
            break
        run += following
    prices = [(one, cost(one.operation)) for one in run if isinstance(one.operation, keras.Layer)]
    params = sum(price.params for one, price in prices if one.is_first)
    text = " · ".join(part for one in run for part in _words(one.operation))
    return run[-1], Line("", text, run[-1].shape, params, sum(price.macs for _, price in prices))


def _merged(segments: Iterable[list[Line]]) -> list[Line]:
    """Returns the lines of segments, those that follow each other and are the same once, with their number."""
    found: list[Line] = []
    for _, group in itertools.groupby(segments):
        same = list(group)
        found += _times(same[0], len(same))
    return found


def _times(segment: list[Line], count: int) -> list[Line]:
    if count == 1:
        return segment
    many = [replace(line, params=count * line.params, macs=count * line.macs) for line in segment]
    if len(many) == 1:
        return [replace(many[0], text=f"{count} {TIMES} {many[0].text}")]
    begin = many[0].rule[0] if many[0].rule else ""
    opening = Line("╭ ", f"{count} {TIMES} this block")
    return [opening, *([replace(many[0], rule="├ " + many[0].rule[2:])] if begin == "╭" else many[:1]), *many[1:]]


def _ruled(lines: list[Line], first: str, others: str) -> list[Line]:
    """Returns the lines of a path with the rule of its block before them."""
    return [replace(line, rule=(others if place else first) + line.rule) for place, line in enumerate(lines)]


def _words(operation: Any) -> list[str]:
    """Returns a layer, and its activation, in words."""
    name, config = type(operation).__name__, operation.get_config() if isinstance(operation, keras.Layer) else {}
    activation = config.get("activation")
    after = [activation] if isinstance(activation, str) and activation != "linear" else []
    if name in ("Activation", "ReLU"):
        return after or [name.lower()]
    if isinstance(operation, keras.Model):
        trained = "" if operation.trainable_weights else ", not trained"
        return [f"{operation.name}: {len(operation.layers)} layers{trained}"]
    if name == "InputLayer":
        return ["images"]
    size = [str(config[key]) for key in ("filters", "units", "rate", "target_shape") if key in config]
    return [f"{SHORT.get(name, name)} {', '.join([*size, *_window(config)])}".strip(), *after]


def _window(config: Mapping[str, Any]) -> Iterator[str]:
    """Yields the kernel or pooling window of a layer, its stride if that is not the usual one, and its padding."""
    window = config.get("kernel_size") or config.get("pool_size")
    if window is None:
        return
    yield TIMES.join(map(str, window))
    strides = tuple(config.get("strides") or window)
    if strides != (tuple(window) if "pool_size" in config else (1,) * len(window)):
        yield f"stride {strides[0] if len(set(strides)) == 1 else TIMES.join(map(str, strides))}"
    if "kernel_size" in config and config.get("padding") == "valid" and max(window) > 1:
        yield "valid"
