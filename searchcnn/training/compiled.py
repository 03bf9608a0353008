"""Loops of training steps that JAX compiles once for all networks of one structure, whatever their rates are."""

import contextlib
import hashlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from searchcnn.graph import find_leaves
from searchcnn.keras_private import find_schedule, read_loss_options
from searchcnn.training.optimizers import Linear

KEPT = 64
"""Compiled loops that are kept, those used last: two of each structure, some MB each."""
CHUNK_SECONDS = 0.5
"""Seconds after which a loop comes back, so that callbacks may end a training."""
SCHEDULE = ("initial_learning_rate", "decay_steps", "warmup_target", "warmup_steps")
"""Attributes of Keras' ``CosineDecay`` that are numbers."""

_loops: OrderedDict[str, Any] = OrderedDict()


class Positive:
    """A positive number that a compiled function is given later.

    Keras asks of some numbers whether they are positive before it computes with them, which what JAX traces cannot say.

    Args:
        value: The number, traced by JAX.
    """

    def __init__(self, value: Any) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return True

    def __gt__(self, other: float) -> bool:
        return other <= 0

    def __rsub__(self, other: Any) -> Any:
        return other - self._value

    def __truediv__(self, other: Any) -> Any:
        return self._value / other


class Rates:
    """The numbers of a compiled network on which the way of computing does not depend: inputs of a compiled loop.

    They are the rates of dropout, the label smoothing, the weight decay, and the peak and length of a cosine schedule;
    a rate of 0 is none, since it changes what is computed. A constant learning rate is one of Keras' variables.

    Args:
        model: A compiled network.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        asked = _list_positive([*_find_dropouts(model), *_find_smoothings(model)])
        self._places = [*asked, *_list_positive(_find_numbers(model.optimizer))]
        self._asked = len(asked)

    def read(self) -> list[float]:
        """Returns the numbers, always in the same order."""
        return [float(place[name]) for place, name in self._places]

    def traced(self, values: Sequence[Any]) -> contextlib.AbstractContextManager[None]:
        """Has the network computed in the body with numbers that JAX traces."""
        return self._replaced([*map(Positive, values[: self._asked]), *values[self._asked :]])

    @contextlib.contextmanager
    def _replaced(self, values: Sequence[Any]) -> Iterator[None]:
        before = [place[name] for place, name in self._places]
        self._write(values)
        try:
            yield
        finally:
            self._write(before)

    def describe(self) -> str:
        """Returns the network and how it is trained, as JSON, but for these numbers and its weights."""
        with self._replaced([0.5] * len(self._places)):
            compiled = self._model.get_compile_config()
            options = compiled["optimizer"]["config"]
            if isinstance(options["learning_rate"], float):
                options["learning_rate"] = None  # a variable
            return f"{self._model.to_json()} {json.dumps(compiled, default=str)}"

    def _write(self, values: Sequence[Any]) -> None:
        for (place, name), value in zip(self._places, values, strict=True):
            place[name] = value


def is_looped() -> bool:
    """Whether the device itself goes from step to step.

    Not a CPU: inside of a loop, XLA computes convolutions there in another way, which took 170 ms for a step that takes
    34 ms (two convolutions, 64 images of 28x28 pixels, two cores, JAX 0.10.2).
    """
    import jax

    return str(jax.default_backend()) != "cpu"


class CompiledLoop:
    """A loop of steps on JAX's device; on a CPU, one step after the other.

    How many steps it takes is not compiled into it. It comes back after `CHUNK_SECONDS`, for the first time after one
    step.

    Args:
        step: Returns the state after a step, given the state, the inputs and the number of the step.
        describe: Returns what tells apart what steps compute, besides the shapes of state and inputs.
    """

    def __init__(self, step: Callable[[Any, Any, Any], Any], describe: Callable[[], str]) -> None:
        self._step = step
        self._describe = describe
        self._compiled: Any = None
        self._is_looped = is_looped()
        self._seconds = math.inf

    def divide(self, steps: int) -> Iterator[range]:
        """Yields which steps to take at a time; after each of them `run` is to be called."""
        done = 0
        while done < steps:
            count = max(1, int(CHUNK_SECONDS / self._seconds))
            yield range(done, min(steps, done + count))
            done += count

    def run(self, state: Any, inputs: Any, steps: range) -> Any:
        """Takes some steps.

        Args:
            state: Arrays in lists, which the loop overwrites.
            inputs: Arrays and numbers in lists and dicts.
            steps: Which steps.

        Returns:
            The state.
        """
        import jax

        if self._compiled is None:
            self._compiled = self._compile(state, inputs, 0, 1)
        began = time.monotonic()
        for start, stop in [(steps.start, steps.stop)] if self._is_looped else [(step, step + 1) for step in steps]:
            state = self._compiled(state, inputs, start, stop)
        jax.block_until_ready(state)
        self._seconds = (time.monotonic() - began) / len(steps)
        return state

    def _compile(self, *arguments: Any) -> Any:
        """Returns the loop as it was compiled for the first network that has the same."""
        import jax

        kinds = jax.tree.map(lambda leaf: (getattr(leaf, "shape", ()), str(getattr(leaf, "dtype", ""))), arguments)
        place = f"{jax.config.jax_default_device} {self._is_looped}"
        key = hashlib.blake2b(f"{self._describe()} {kinds} {place}".encode()).hexdigest()
        if key not in _loops:
            _loops[key] = jax.jit(self._loop, donate_argnums=0).lower(*arguments).compile()
        _loops.move_to_end(key)
        while len(_loops) > KEPT:
            _loops.popitem(last=False)
        return _loops[key]

    def _loop(self, state: Any, inputs: Any, start: Any, stop: Any) -> Any:
        import jax

        def step(index: Any, state: Any) -> Any:
            new = self._step(state, inputs, index)
            return jax.tree.map(lambda old, value: jax.numpy.asarray(value, old.dtype), state, new)

        return jax.lax.fori_loop(start, stop, step, state) if self._is_looped else step(start, state)


def _list_positive(places: Iterable[tuple[dict[str, Any], str]]) -> list[tuple[dict[str, Any], str]]:
    return [(place, name) for place, name in places if (place[name] or 0) > 0]


def _find_dropouts(model: keras.Model) -> Iterator[tuple[dict[str, Any], str]]:
    for layer in find_leaves(model):
        if isinstance(layer, keras.layers.Dropout) and layer.rate < 1:
            yield vars(layer), "rate"


def _find_smoothings(model: keras.Model) -> Iterator[tuple[dict[str, Any], str]]:
    losses = model.loss.values() if isinstance(model.loss, dict) else model.loss
    for loss in {id(loss): loss for loss in losses}.values():
        if isinstance(loss, keras.losses.CategoricalCrossentropy):
            yield from ((place, "label_smoothing") for place in (read_loss_options(loss), vars(loss)))


def _find_numbers(optimizer: keras.optimizers.Optimizer) -> Iterator[tuple[dict[str, Any], str]]:
    yield vars(optimizer), "weight_decay"
    schedule = find_schedule(optimizer)
    if isinstance(schedule, keras.optimizers.schedules.CosineDecay):
        yield from ((vars(schedule), name) for name in SCHEDULE)
    if isinstance(schedule, Linear):
        yield from ((schedule.__dict__, name) for name in ("peak", "warm_up", "steps"))
