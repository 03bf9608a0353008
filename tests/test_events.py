"""Events travel between processes as lines of JSON, whatever their class: nothing but the class knows what it holds."""

import math
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.data import ImagesInspected
from searchcnn.events import (
    Epoch,
    EpochFinished,
    Event,
    NetworkBuilt,
    Note,
    TrialDescribed,
    TrialFinished,
    decode,
    encode,
)
from searchcnn.workers.worker import Sender

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63),
    float: st.floats(allow_nan=False),
    str: st.text(),
    bool: st.booleans(),
    NoneType: st.none(),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
        max_leaves=5,
    ),
}
KINDS: list[Any] = [kind for kind in Event.kinds.values() if kind.__module__.startswith("searchcnn.")]


def make_strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Returns a strategy for a type that an event holds, as JSON gives it back: its sequences are lists."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: make_strategy(hints[field.name]) for field in fields(kind)})
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*map(make_strategy, arguments))
    if origin is Mapping:
        return st.dictionaries(*map(make_strategy, arguments), max_size=3)
    if origin is Sequence:
        return st.lists(make_strategy(arguments[0]), max_size=3)
    raise NotImplementedError(f"no strategy for {kind}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(st.data())
def test_an_event_comes_out_of_a_line_as_it_went_into_it(kind: type[Event], data: st.DataObject) -> None:
    event = data.draw(make_strategy(kind))
    line = encode(event)
    assert line.isprintable()
    assert decode(line) == event
    assert type(decode(line)) is kind


def test_all_events_are_tried() -> None:
    assert {ImagesInspected, EpochFinished, NetworkBuilt, TrialFinished} < set(KINDS)
    assert len(KINDS) > 12


def test_a_new_event_is_a_class_and_nothing_else() -> None:
    """It goes through a real pipe, by what a worker writes with, in the middle of events from other threads."""

    @dataclass(frozen=True)
    class Corner:
        x: float
        names: Sequence[str] = ()

    @dataclass(frozen=True)
    class ImageCropped(Event):
        number: int
        corner: Corner | None

    new = ImageCropped(3, Corner(0.5, ["left", "t\u00f6p\n"]))
    receiving, sending = os.pipe()
    with os.fdopen(receiving, encoding="utf-8") as lines:
        with os.fdopen(sending, "w", encoding="utf-8") as stream:
            sender = Sender(stream)
            notes = [Note("n" * 99)] * 100
            others = threading.Thread(target=lambda: deque(map(sender.hear, notes), maxlen=0))
            others.start()
            sender.hear(new)
            others.join()
        heard = [decode(line) for line in lines]
    del Event.kinds["ImageCropped"]
    assert [event for event in heard if not isinstance(event, Note)] == [new]
    assert [event for event in heard if isinstance(event, Note)] == notes


def test_what_json_cannot_hold_becomes_text_and_a_loss_may_be_no_number() -> None:
    assert decode(encode(TrialDescribed(1, {"path": Path("a/b")}))) == TrialDescribed(1, {"path": "a/b"})
    event = decode(encode(EpochFinished(1, Epoch(1, {"loss": math.nan}, None, 1.0), 0.5)))
    assert isinstance(event, EpochFinished)
    assert math.isnan(event.epoch.metrics["loss"])
