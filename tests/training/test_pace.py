"""How long an epoch takes, without what is done only once."""

from collections.abc import Callable

import pytest

from searchcnn.backend import start_keras

start_keras()

from searchcnn.training import pace as pace_module  # noqa: E402
from searchcnn.training.pace import Pace  # noqa: E402

STEPS, TESTS, STEP, TEST = 5, 4, 1.0, 0.25
TRACING = 20.0
"""Seconds by which the first batch of a training takes longer, and likewise the first one of a validation."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    return clock


@pytest.fixture
def train(clock: Clock) -> Callable[..., None]:
    """Returns what tells a pace of one fit, given the number of its epochs and those that end with a validation."""

    def train_(pace: Pace, epochs: int, *validated: int) -> None:
        pace.on_train_begin()
        for epoch in range(epochs):
            pace.on_epoch_begin(epoch)
            for batch in range(STEPS):
                clock.now += STEP + TRACING * (epoch == batch == 0)
                pace.on_train_batch_end(batch)
            if epoch in validated:
                pace.on_test_begin()
                for batch in range(TESTS):
                    clock.now += TEST + TRACING * (epoch == validated[0] and batch == 0)
                    pace.on_test_batch_end(batch)
                pace.on_test_end()
        pace.on_train_end()

    return train_


def test_what_is_compiled_does_not_count(train: Callable[..., None]) -> None:
    """Neither in a single epoch, nor in the epoch that has the first validation."""
    single, several = Pace(STEPS), Pace(STEPS, interval=2)
    train(single, 1, 0)
    assert single.seconds == pytest.approx(STEPS * STEP + TESTS * TEST)
    assert single.validation == pytest.approx(TESTS * TEST)
    train(several, 6, 1, 3, 5)
    assert several.seconds == pytest.approx(STEPS * STEP + TESTS * TEST / 2)


def test_each_fit_compiles_anew(train: Callable[..., None]) -> None:
    pace = Pace(STEPS)
    for _ in range(2):
        train(pace, 1, 0)
    assert pace.seconds == pytest.approx(STEPS * STEP + TESTS * TEST)
    assert pace.spent == pytest.approx(
        {"tracing": 4 * TRACING, "training": 2 * STEPS * STEP, "validating": 2 * TESTS * TEST}
    )


def test_batches_that_come_together_count_each(clock: Clock) -> None:
    pace = Pace(STEPS)
    pace.on_train_begin()
    pace.on_epoch_begin(0)
    for batch, batches in ((0, 1), (3, 3), (4, 1)):
        clock.now += batches * STEP + TRACING * (batch == 0)
        pace.on_train_batch_end(batch)
    pace.on_test_begin()
    for batch, batches in ((0, 1), (3, 3)):
        clock.now += batches * TEST + TRACING * (batch == 0)
        pace.on_test_batch_end(batch)
    pace.on_test_end()
    pace.on_train_end()
    assert pace.seconds == pytest.approx(STEPS * STEP + TESTS * TEST)
    assert pace.spent == pytest.approx({"tracing": 2 * TRACING, "training": STEPS * STEP, "validating": TESTS * TEST})
