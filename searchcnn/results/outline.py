"""Draws a network as lines for a terminal: from the images down, with branches and repetitions."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import keras

from searchcnn.graph import list_calls, make_functional
from searchcnn.keras_private import find_operation, is_functional
from searchcnn.text import TIMES
from searchcnn.training.cost import measure_cost

FOLDED = ("Activation", "BatchNormalization", "Dropout", "LayerNormalization", "ReLU", "SpatialDropout2D")
"""Layers that are shown on the line of the layer before them."""
SHORT = {
    "BatchNormalization": "BatchNorm",
    "GlobalAveragePooling2D": "GlobalAveragePooling",
    "GlobalMaxPooling2D": "GlobalMaxPooling",
    "MaxPooling2D": "MaxPooling",
    "AveragePooling2D": "AveragePooling",
}
"""Short names of layers."""


@dataclass(frozen=True)
class Line:
    """One line of a drawing: a layer, together with what follows it without changing the shape.

    Attributes:
        rule: The rules of the branches that it is in.
        text: What it is.
        shape: Shape of its output: (height, width, channels), or fewer; empty if the line is not a layer.
        params: Number of weights, including repetitions.
        macs: Multiply-accumulates for one image, including repetitions.
    """

    rule: str
    text: str
    shape: tuple[int | None, ...] = ()
    params: int = 0
    macs: int = 0


def draw_outline(model: Any) -> list[Line]:
    """Draws a network.

    Several paths that leave a point, up to the point where they meet again, are a block: `╭` begins its first path,
    `├` each further one, and `╰` is where they meet. Lines and blocks that repeat are shown once, with their count.

    Args:
        model: A functional or sequential Keras model. Outputs after the first are auxiliary heads.
    """
    steps = _list_steps(make_functional(model))
    return _merge(_Drawing(steps).draw_segments(steps[0]))


def draw_classifier(model: Any) -> list[Line]:
    """Draws a saved classifier: what is done to the pixels, and then the layers of the network that gets them.

    Args:
        model: As `searchcnn.training.make_classifier` returns it.
    """
    lines, network = draw_outline(model), find_operation(model.outputs[0])
    return [*lines[:-1], *draw_outline(network)[1:]] if is_functional(network) else lines


@dataclass(eq=False)
class _Step:
    """One use of a layer or operation.

    Attributes:
        operation: The layer.
        is_first: Whether it is the layer's first use.
        shape: Shape of its output, without the batch.
        before: The steps whose outputs it takes.
        following: The steps that take its output; one that takes it twice is listed twice.
        is_main: Whether the first output depends on it; otherwise it belongs to an auxiliary head.
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
    """Walks through the steps of a network, given in the order in which they are computed."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        order = {step: index for index, step in enumerate(steps)}
        for step in reversed(steps):
            step.meeting = _find_meeting(step, order)

    def draw_segments(self, step: _Step | None, stop: _Step | None = None) -> Iterator[list[Line]]:
        """Yields the segments from a step to the one before ``stop``.

        A segment is one line, or the lines of a block with its meeting point.
        """
        while step is not None and step is not stop:
            last, line = _draw_line(step, stop)
            yield [line]
            yield from self._draw_heads(last)
            while len(last.next) > 1:
                block, meeting = self._draw_paths(last, stop), last.meeting
                if meeting is None or meeting is stop:
                    yield block
                    return
                last, line = _draw_line(meeting, stop)
                yield [*block, replace(line, rule="╰ ")]
                yield from self._draw_heads(last)
            step = next(iter(last.next), None)

    def _draw_paths(self, step: _Step, stop: _Step | None) -> list[Line]:
        """Returns the lines of the paths from a step to the one where they meet."""
        lines: list[Line] = []
        for start in step.next:
            path = _merge(self.draw_segments(start, step.meeting or stop)) or [Line("", "identity")]
            lines += _prefix(path, "├ " if lines else "╭ ", "│ ")
        return lines

    def _draw_heads(self, step: _Step) -> Iterator[list[Line]]:
        """Yields the auxiliary heads that leave the main path after a step."""
        for start in step.following:
            if step.is_main and not start.is_main:
                yield [Line("┆ ", "auxiliary head, cut off when the network is saved")]
                yield _prefix(_merge(self.draw_segments(start)), "┆ ", "┆ ")


def _list_steps(model: Any) -> list[_Step]:
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
    _mark_main(makers[id(model.outputs[0])])
    return steps


def _mark_main(step: _Step) -> None:
    """Marks all steps that a step depends on, and itself."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if not step.is_main:
            step.is_main = True
            waiting += step.before


def _find_meeting(step: _Step, order: Mapping[_Step, int]) -> _Step | None:
    """Returns the next step that all paths from a step go through; it has been found for all later steps."""
    ends = set(step.next)
    while len(ends) > 1:
        first = min(ends, key=lambda end: order[end])
        if first.meeting is None:
            return None
        ends = (ends - {first}) | {first.meeting}
    return next(iter(ends), None)


def _draw_line(step: _Step, stop: _Step | None) -> tuple[_Step, Line]:
    """Returns the line of a step, and the last one of the steps that are shown on it."""
    run = [step]
    while len(following := run[-1].following) == 1:
        if following[0] is stop or type(following[0].operation).__name__ not in FOLDED:
            break
        run += following
    costs = [(use, measure_cost(use.operation)) for use in run if isinstance(use.operation, keras.Layer)]
    params = sum(cost.params for use, cost in costs if use.is_first)
    text = " · ".join(words for use in run for words in _describe(use.operation))
    return run[-1], Line("", text, run[-1].shape, params, sum(cost.macs for _, cost in costs))


def _merge(segments: Iterable[list[Line]]) -> list[Line]:
    """Returns the lines of segments; equal ones that follow each other are drawn once, with their count."""
    lines: list[Line] = []
    for segment, repetitions in itertools.groupby(segments):
        lines += _repeat(segment, len(list(repetitions)))
    return lines


def _repeat(segment: list[Line], count: int) -> list[Line]:
    if count == 1:
        return segment
    lines = [replace(line, params=count * line.params, macs=count * line.macs) for line in segment]
    if len(lines) == 1:
        return [replace(lines[0], text=f"{count} {TIMES} {lines[0].text}")]
    if lines[0].rule.startswith("╭"):
        lines[0] = replace(lines[0], rule="├ " + lines[0].rule[2:])
    return [Line("╭ ", f"{count} {TIMES} this block"), *lines]


def _prefix(lines: list[Line], first: str, others: str) -> list[Line]:
    """Returns the lines of a path with the rules of its block in front of them."""
    return [replace(line, rule=(others if index else first) + line.rule) for index, line in enumerate(lines)]


def _describe(operation: Any) -> list[str]:
    """Describes a layer and its activation in words."""
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
    return [f"{SHORT.get(name, name)} {', '.join([*size, *_describe_window(config)])}".strip(), *after]


def _describe_window(config: Mapping[str, Any]) -> Iterator[str]:
    """Yields the kernel or pooling window of a layer, its stride unless it is the usual one, and its padding."""
    window = config.get("kernel_size") or config.get("pool_size")
    if window is None:
        return
    yield TIMES.join(map(str, window))
    strides = tuple(config.get("strides") or window)
    if strides != (tuple(window) if "pool_size" in config else (1,) * len(window)):
        yield f"stride {strides[0] if len(set(strides)) == 1 else TIMES.join(map(str, strides))}"
    if "kernel_size" in config and config.get("padding") == "valid" and max(window) > 1:
        yield "valid"
