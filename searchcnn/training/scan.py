"""Fits a network with JAX, many steps at once: images, labels and all that changes them are on the device."""

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.augmentation import gather
from searchcnn.data import Split
from searchcnn.keras_private import build_compiled
from searchcnn.training.compiled import CompiledLoop, Rates
from searchcnn.training.pipeline import Form, Passes, is_in_memory
from searchcnn.training.timed_schedule import TimedSchedule

RESIDENT_SHARE, RESIDENT_BYTES = 0.25, 2**31
"""Share of a device's memory that images may take, and bytes where it does not say how much it has."""

_resident: weakref.WeakKeyDictionary[Split, dict[str, Any]] = weakref.WeakKeyDictionary()


def fits_device(*splits: Split) -> bool:
    """Whether images, or features of them, are arrays that fit into the memory of JAX's device beside the networks."""
    import jax

    memory = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    limit = RESIDENT_BYTES if memory is None else RESIDENT_SHARE * memory
    return all(is_in_memory(split) for split in splits) and sum(split.images.nbytes for split in splits) <= limit


@dataclass(frozen=True, eq=False)
class Validation:
    """What a network is validated with.

    Attributes:
        split: The images.
        batch_size: Images in a step.
        epochs: The epochs, from 1, that end with a validation; callbacks may add some.
    """

    split: Split
    batch_size: int
    epochs: list[int]


class ScannedFit:
    """Fits a compiled network as ``model.fit`` does, but takes as many steps at a time as it can in half a second.

    Callbacks are called as Keras calls them, but that a batch begins and ends for them with the first and the last one
    of the steps that are taken at a time.

    Args:
        model: The network, compiled.
        passes: Passes over the training images.
        form: Makes batches of them what the network takes.
        validation: What it is validated with.
        key: Tells apart networks that are trained in another way, beyond their structure and how they were compiled.
    """

    def __init__(self, model: keras.Model, passes: Passes, form: Form, validation: Validation, key: str) -> None:
        self._model = model
        self._passes = passes
        self._form = form
        self._validation = validation
        images, labels = np.asarray(passes.split.images[:1]), np.zeros(1, np.int32)
        build_compiled(model, form(images, labels, {}))
        self._key = key
        self._rates = Rates(model)
        self._training = CompiledLoop(self._train_step, self._describe)
        sizes = self._list_test_sizes()
        self._tests = {size: CompiledLoop(self._make_test_step(size), self._describe_test(size)) for size in sizes}

    def fit(self, epochs: int, first: int, callbacks: Sequence[Any]) -> Any:
        """Fits the network.

        Args:
            epochs: Their number.
            first: The epoch to begin with, from 0.
            callbacks: Keras' callbacks.

        Returns:
            Keras' ``History``.
        """
        model, steps = self._model, len(self._passes)
        heard = keras.callbacks.CallbackList(list(callbacks), add_history=True, model=model, epochs=epochs, steps=steps)
        ends = [callback for callback in callbacks if isinstance(callback, TimedSchedule)]
        model.stop_training = False
        logs: dict[str, Any] = {}
        heard.on_train_begin()
        with ThreadPoolExecutor(1) as pool:
            drawn = pool.submit(self._draw_epoch, first)
            for epoch in range(first, epochs):
                model.reset_metrics()
                heard.on_epoch_begin(epoch)
                numbers, drawn = drawn.result(), pool.submit(self._draw_epoch, epoch + 1)
                self._train(numbers, max(1, min([steps, *(end.left for end in ends)])), heard)
                logs = dict(model.get_metrics_result())
                if epoch + 1 in self._validation.epochs:
                    logs |= {f"val_{name}": value for name, value in self._validate(heard).items()}
                heard.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
        model.optimizer.finalize_variable_values(model.trainable_weights)
        heard.on_train_end(logs)
        return model.history

    def _describe(self, step: str = "train") -> str:
        return f"{step} {self._key} {self._rates.describe()}"

    def _describe_test(self, size: int) -> Callable[[], str]:
        return lambda: self._describe(f"test {size}")

    def _draw_epoch(self, epoch: int) -> dict[str, npt.NDArray[Any]]:
        """Draws an epoch's order and all that is changed at random: arrays of shape (steps, batch, ...)."""
        order = self._passes.draw_order(epoch).reshape(len(self._passes), -1)
        changes = [self._passes.draw_changes(epoch, index, order.shape[1]) for index in range(len(order))]
        numbers = {"order": order} | {name: np.stack([change[name] for change in changes]) for name in changes[0]}
        return {name: array.astype(np.int32) if array.dtype == np.int64 else array for name, array in numbers.items()}

    def _train(self, numbers: dict[str, npt.NDArray[Any]], steps: int, heard: Any) -> None:
        """Trains the network for an epoch, or for less where a callback says so."""
        import jax

        model = self._model
        groups = [*self._list_variables(), model.optimizer.variables]
        state = [[variable.value for variable in group] for group in groups]
        inputs = {"data": _put(self._passes.split), "numbers": jax.device_put(numbers), "rates": self._rates.read()}
        for chunk in self._training.divide(steps):
            heard.on_train_batch_begin(chunk.start)
            state = self._training.run(state, inputs, chunk)
            _assign([model.metrics_variables], [state[2]])
            heard.on_train_batch_end(chunk[-1], model.get_metrics_result())
            if model.stop_training:
                break
        _assign(groups, state)

    def _train_step(self, state: Any, inputs: Any, index: Any) -> Any:
        """Returns the state after a step: trained variables, others, those of metrics, and those of the optimizer."""
        trained, others, metrics, optimizer = state
        draws = {name: array[index] for name, array in inputs["numbers"].items()}
        order, data = draws.pop("order"), inputs["data"]
        batch = self._form(gather(data["images"], order, draws), data["labels"][order], draws)
        with self._rates.traced(inputs["rates"]):
            _, state = self._model.train_step((trained, others, optimizer, metrics), batch)
        trained, others, optimizer, metrics = state
        return [list(trained), list(others), list(metrics), list(optimizer)]

    def _validate(self, heard: Any) -> dict[str, Any]:
        """Returns the metrics of the network on the validation images."""
        model, batch_size = self._model, self._validation.batch_size
        model.stop_evaluating = False
        heard.on_test_begin()
        model.reset_metrics()
        trained, *state = ([variable.value for variable in group] for group in self._list_variables())
        first = 0
        for size, loop in self._tests.items():
            data, rates = _put(self._validation.split), self._rates.read()
            inputs = {"trained": trained, "data": data, "rates": rates, "first": first}
            for chunk in loop.divide((len(self._validation.split) - first) // size):
                heard.on_test_batch_begin(first // batch_size + chunk.start)
                state = loop.run(state, inputs, chunk)
                heard.on_test_batch_end(first // batch_size + chunk[-1])
                if model.stop_evaluating:
                    break
            first = len(self._validation.split) // size * size
            if model.stop_evaluating:
                break
        _assign(self._list_variables()[1:], state)
        logs: dict[str, Any] = dict(model.get_metrics_result())
        heard.on_test_end(logs)
        return logs

    def _list_test_sizes(self) -> list[int]:
        """Returns the sizes of the batches of a validation; the last one may be smaller."""
        whole, rest = divmod(len(self._validation.split), self._validation.batch_size)
        return [size for size in (self._validation.batch_size * bool(whole), rest) if size]

    def _make_test_step(self, size: int) -> Any:
        """Returns a step of a validation, given the number of its images."""
        form = replace(self._form, class_weights=None)

        def step(state: Any, inputs: Any, index: Any) -> Any:
            import jax

            start, data = inputs["first"] + index * size, inputs["data"]
            images, labels = (jax.lax.dynamic_slice_in_dim(data[name], start, size) for name in ("images", "labels"))
            with self._rates.traced(inputs["rates"]):
                _, (_, *state) = self._model.test_step((inputs["trained"], *state), form(images, labels, {}))
            return [list(variables) for variables in state]

        return step

    def _list_variables(self) -> list[Sequence[Any]]:
        """Returns the network's trained variables, its others, and those of its metrics."""
        model = self._model
        return [model.trainable_variables, model.non_trainable_variables, model.metrics_variables]


def _put(split: Split) -> dict[str, Any]:
    """Returns images and labels on the device, where they stay as long as the split is in use."""
    import jax

    if split not in _resident:
        _resident[split] = {"images": jax.device_put(split.images), "labels": jax.device_put(split.labels.astype("i4"))}
    return _resident[split]


def _assign(groups: Sequence[Sequence[Any]], state: Sequence[Sequence[Any]]) -> None:
    for variables, values in zip(groups, state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
