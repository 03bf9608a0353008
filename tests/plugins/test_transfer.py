"""The built-in space `transfer`: its reference networks, its pretrained weights and what of them is trained when."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import PluginError
from searchcnn.search import Trial
from searchcnn.search.hyperparameters import CheckedHyperParameters, Parameter
from searchcnn.spaces import LoadedSpace
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.backbones import FROZEN, UNFROZEN  # noqa: E402
from searchcnn.graph import find_leaves  # noqa: E402
from searchcnn.testing.sample import RandomHyperParameters  # noqa: E402
from searchcnn.training import Trainer, callbacks, features, run_dry  # noqa: E402

BIRDS = ((224, 224, 3), 200)
DIGITS = ((8, 8, 1), 10)
SMALL = "MobileNet(alpha=0.25)"
RESNET = 23_587_712
RESNET_CHANNELS = 26_560
"""Channels that are normalised in ResNet50: each has a scale, a shift and two statistics."""
Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
Sketch = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def pretrained(weights: Path) -> list[Any]:
    """Returns the arrays of that file as Keras loads them, layer by layer."""
    network = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    network.load_weights(weights)
    return [weight for layer in network.layers for weight in layer.get_weights()]


@pytest.fixture
def small(transfer: LoadedSpace, weights: Path) -> Any:
    """Returns the space of the small backbone with those weights, for digits."""
    options = {"backbones": [SMALL], "weights": str(weights), "image_sizes": [32]}
    return transfer.create(*DIGITS, options)


def count_trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def list_phases(space: Any, hp: Any, model: Any) -> Iterator[tuple[float, float, bool, int]]:
    """Yields the share and the rate of each phase, whether it is solved, and the number of trainable weights."""
    for phase in space.phases(hp, model):
        yield phase.share, phase.rate, phase.is_solved, count_trainable(model)


SOFTMAX = 2048 * 200 + 200
DENSE = 2048 * 1024 + 1024 + 1024 * 200 + 200
CONVOLUTION = 3 * 3 * 2048 * 64 + 64 + 64 * 1024 + 1024 + 1024 * 200 + 200
UNFREEZABLE = RESNET - 4 * RESNET_CHANNELS
"""Weights of ResNet50 without batch normalisation's, which is never trained."""


@pytest.mark.parametrize(
    ("name", "head", "is_tuned", "drops"),
    [
        ("resnet50_features", SOFTMAX, False, []),
        ("resnet50_features_dense", DENSE, False, []),
        ("resnet50_features_dropout", DENSE, False, [0.75]),
        ("resnet50_finetune", SOFTMAX, True, []),
        ("resnet50_finetune_dense", DENSE, True, []),
        ("resnet50_finetune_convolution", CONVOLUTION, True, [0.2, 0.4]),
    ],
)
def test_reference_networks(
    transfer: LoadedSpace, sketch: Sketch, name: str, head: int, is_tuned: bool, drops: list[float]
) -> None:
    space = transfer.create(*BIRDS, {"backbones": ["MobileNetV2", "ResNet50"]})
    values = transfer.baselines(space)[name]
    hp = CheckedHyperParameters(values)
    model = sketch(space, hp)
    assert (model.input_shape, model.output_shape) == ((None, 224, 224, 3), (None, 200))
    assert model.count_params() == RESNET + head
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == drops
    assert {layer.name for layer in model.layers} & {FROZEN, UNFROZEN} == {UNFROZEN if is_tuned else FROZEN}
    planned = list(list_phases(space, hp, model))
    is_linear = head == SOFTMAX
    assert planned == (
        [(0.3, 1.0, is_linear, head), (1.0, 0.05, False, UNFREEZABLE + head)]
        if is_tuned
        else [(1.0, 1.0, is_linear, head)]
    )
    assert values.keys() <= hp.active.keys()
    assert ("fine_tuning_rate" in hp.values) == is_tuned
    for declared in hp.space:
        parameter = Parameter(declared)
        stored = parameter.to_optuna(hp.values[declared.name])  # raises if it is out of range
        assert parameter.from_optuna(stored) == hp.values[declared.name]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"backbones": ["ResNet50"]}, {"fine_tune", "image_size"}),
        ({"backbones": "ResNet50", "image_sizes": [224]}, {"fine_tune"}),
        ({"backbones": ["VGG16", "ResNet50"]}, {"backbone", "ResNet50/fine_tune", "image_size"}),
        ({"backbones": ["VGG16", "ResNet50"], "image_sizes": [64, 96]}, {"backbone", "ResNet50/fine_tune"}),
    ],
)
def test_baselines_fit_the_options(transfer: LoadedSpace, options: dict[str, Any], keys: set[str]) -> None:
    space = transfer.create(*BIRDS, options)
    values = transfer.baselines(space)["resnet50_features"]
    assert values.keys() - {"head_convolution", "pooling", "dense_layers", "head_dropout"} == keys
    hp = CheckedHyperParameters(values)
    with keras.StatelessScope(initialize_variables=False):
        backbone = space.ask_backbone(hp)
        space.ask_division(hp, backbone)
    assert backbone.network.name == "resnet50"
    assert keys <= hp.active.keys()


BOTH = [SMALL, "ResNet50"]
HEADED = {"head_convolution": True}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["features_160", "features_224", "fine_tuned_224", "fine_tuned_160"]),
        ({"image_sizes": [96]}, ["features", "fine_tuned"]),
        ({"image_sizes": [96], "linear": True}, ["features"]),
        ({"image_sizes": [96, 128], "linear": True}, ["features_96", "features_128"]),
        ({"backbones": BOTH, "image_sizes": [96], "linear": True}, [f"features_{name}" for name in BOTH]),
        ({"backbones": ["ResNet50"], "weights": "none"}, []),
    ],
)
def test_known_points_begin_with_the_cheapest(transfer: LoadedSpace, options: dict[str, Any], names: list[str]) -> None:
    assert list(transfer.baselines(transfer.create(*BIRDS, options))) == names


def test_a_file_has_known_points_of_its_own_size(transfer: LoadedSpace, tmp_path: Path) -> None:
    path = save_foreign(tmp_path / "fixed.keras", (12, 12), keras.layers.Rescaling(1 / 255))
    space = transfer.create(*DIGITS, {"backbones": [path, SMALL], "image_sizes": [32, 64]})
    points = transfer.baselines(space)
    assert list(points) == [
        *("features_fixed", f"features_{SMALL}_32", f"features_{SMALL}_64"),
        *(f"fine_tuned_{SMALL}_64", f"fine_tuned_{SMALL}_32", "fine_tuned_fixed"),
    ]
    for values in points.values():
        hp = CheckedHyperParameters(values)
        model = space.build(hp)
        assert values.keys() <= hp.active.keys()
        assert len(list(list_phases(space, hp, model))) == (
            2 if any("unfrozen_blocks" in key for key in hp.active) else 1
        )


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((160, 160, 3), 224, (224, 224)),
        ((7, 7, 1), 100, (100, 100)),
        ((64, 640, 3), 160, (48, 504)),
        ((640, 64, 3), 160, (504, 48)),
        ((2, 2000, 3), 96, (32, 288)),
        ((120, 160, 3), 224, (192, 256)),
    ],
)
def test_images_keep_their_shape(
    transfer: LoadedSpace, shape: tuple[int, int, int], side: int, expected: tuple[int, int]
) -> None:
    compute_shape = type(transfer.create(*DIGITS)).build.__globals__["compute_shape"]
    assert compute_shape(shape, side) == expected


def test_wide_images_enter_as_wide_ones(transfer: LoadedSpace, sketch: Sketch) -> None:
    space = transfer.create((60, 120, 3), 4, {"backbones": [SMALL], "image_sizes": [64]})
    model = sketch(space, CheckedHyperParameters())
    assert model.get_layer(FROZEN).input_shape == (None, 48, 88, 3)
    assert (model.input_shape, model.output_shape) == ((None, 60, 120, 3), (None, 4))


def test_linear_heads_have_few_hyperparameters(transfer: LoadedSpace, sketch: Sketch) -> None:
    space = transfer.create(*DIGITS, {"backbones": [SMALL], "image_sizes": [32, 64], "linear": True})
    hp = CheckedHyperParameters()
    model = sketch(space, hp)
    assert list(list_phases(space, hp, model)) == [(1.0, 1.0, True, 256 * 10 + 10)]
    assert {item.name: getattr(item, "max_value", None) for item in hp.space} == {
        "image_size": None,
        "cut_blocks": 2,
        "pooling": None,
    }
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


@pytest.mark.parametrize(
    ("values", "drops", "is_asked"),
    [
        ({}, [], False),
        ({"dense_layers": 1}, [0.2], True),
        ({"fine_tune": True}, [0.2], True),
        ({"fine_tune": True, "dense_layers": 2}, [0.2, 0.2], True),
    ],
)
def test_dropout_of_the_head_is_asked_where_it_acts(
    small: Any, sketch: Sketch, values: dict[str, Any], drops: list[float], is_asked: bool
) -> None:
    hp = CheckedHyperParameters(values)
    model = sketch(small, hp)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == drops
    assert ("head_dropout" in hp.active) == is_asked


@pytest.mark.parametrize(("values", "is_solved"), [({}, True), ({"dense_layers": 1}, False), (HEADED, False)])
def test_a_part_of_the_epochs_is_for_fine_tuning(
    transfer: LoadedSpace, sketch: Sketch, values: dict[str, Any], is_solved: bool
) -> None:
    space = transfer.create(*DIGITS, {"backbones": [SMALL], "image_sizes": [32], "fine_tuning": 0.5})
    hp = CheckedHyperParameters({"fine_tune": True, **values})
    planned = [phase[:3] for phase in list_phases(space, hp, sketch(space, hp))]
    assert planned == [(0.15, 1.0, is_solved), (0.5, 0.05, False)]


def test_the_options_are_checked(transfer: LoadedSpace) -> None:
    with pytest.raises(PluginError, match=r"options.transfer: 'backbone' is not an option of this .*; did you mean"):
        transfer.create(*DIGITS, {"backbone": SMALL})
    with pytest.raises(PluginError, match="has no 'ResNet5'; did you mean 'ResNet50'"):
        transfer.create(*DIGITS, {"backbones": ["ResNet5"]}).build(CheckedHyperParameters())
    with pytest.raises(PluginError, match="takes images with 1 or 3 channels, not 2"):
        transfer.create((8, 8, 2), 3)


def test_digits(transfer: LoadedSpace) -> None:
    space = transfer.create(*DIGITS, {"backbones": [SMALL], "image_sizes": [32, 64]})
    for size in (32, 64):
        model = space.build(CheckedHyperParameters({"image_size": size}))
        assert model.get_layer(FROZEN).input_shape == (None, size, size, 3)
        outputs = np.asarray(model(np.random.default_rng(0).random((2, 8, 8, 1), "float32")))
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("values", [{}, {"pooling": "max"}, {"head_convolution": True}])
def test_each_head_trains(small: Any, sketch: Sketch, values: dict[str, Any]) -> None:
    hp = CheckedHyperParameters({"cut_blocks": 7, "dense_layers": 2, **values})
    model = sketch(small, hp)
    assert model.output_shape == (None, 10)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [256, 256, 10]
    assert len(model.trainable_weights) == 2 * (3 + values.get("head_convolution", False))


@pytest.mark.parametrize("seed", range(4))
def test_every_point_is_a_network(small: Any, sketch: Sketch, seed: int) -> None:
    hp = RandomHyperParameters(seed)
    model = sketch(small, hp)
    assert model.output_shape == (None, 10), hp.values
    planned = list(list_phases(small, hp, model))
    tuned = hp.values["fine_tune"]
    assert len(planned) == 1 + tuned
    assert ("unfrozen_blocks" in hp.values) == ("fine_tuning_rate" in hp.values) == tuned


def test_from_scratch_all_is_trained_in_one_phase(transfer: LoadedSpace) -> None:
    space = transfer.create(*DIGITS, {"backbones": [SMALL], "image_sizes": [32], "weights": "none"})
    hp = CheckedHyperParameters()
    model = space.build(hp)
    before = model.get_weights()
    space.initialize(hp, model)
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)
    (phase,) = list_phases(space, hp, model)
    statistics = sum(2 * leaf.gamma.shape[0] for leaf in list_normalisations(model))
    assert phase == (1.0, 1.0, False, model.count_params() - statistics)
    assert not {"fine_tune", "unfrozen_blocks", "fine_tuning_rate"} & set(hp.values)
    assert "cut_blocks" in hp.values


def list_normalisations(model: Any) -> list[Any]:
    return [leaf for leaf in find_leaves(model) if isinstance(leaf, keras.layers.BatchNormalization)]


@pytest.mark.parametrize(("cut", "unfrozen"), [(0, 0), (3, 4), (7, 7), (5, 14)])
def test_the_weights_of_a_file_in_both_parts(small: Any, pretrained: list[Any], cut: int, unfrozen: int) -> None:
    tuned = {"fine_tune": True, "unfrozen_blocks": unfrozen} if unfrozen else {}
    hp = CheckedHyperParameters({"cut_blocks": cut, **tuned})
    model = small.build(hp)
    parts = [layer for layer in model.layers if layer.name in (FROZEN, UNFROZEN)]
    assert len(parts) == (2 if 0 < unfrozen < 14 - cut else 1)
    weights = [weight for part in parts for layer in part.layers for weight in layer.get_weights()]
    assert not np.array_equal(weights[0], pretrained[0])
    small.initialize(hp, model)
    weights = [weight for part in parts for layer in part.layers for weight in layer.get_weights()]
    assert len(weights) == (1 + 4) + (13 - cut) * 2 * (1 + 4)
    for mine, its in zip(weights, pretrained[: len(weights)], strict=True):
        np.testing.assert_array_equal(mine, its)
    assert unfrozen or len(model.trainable_weights) == 2


def test_missing_weights_are_found_out_before_the_first_trial(
    transfer: LoadedSpace, study_config: Config, few: Dataset
) -> None:
    options = {"backbones": [SMALL], "weights": "nowhere.h5", "image_sizes": [32]}
    trainer = Trainer(study_config(), few, {"transfer": transfer.create(*DIGITS, options)})
    with pytest.raises(PluginError, match=r"^search space 'transfer': weights 'nowhere.h5': no such file; "):
        run_dry(trainer, "transfer")


@pytest.mark.slow
def test_a_trial_trains_what_is_unfrozen_and_nothing_else(
    transfer: LoadedSpace,
    weights: Path,
    study_config: Config,
    begin: Begin,
    few: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "locate_cache", lambda kind: tmp_path / kind)
    monkeypatch.setattr(callbacks.BestWeights, "restore", lambda self: None)  # of random features the best is any epoch
    space = transfer.create(*DIGITS, {"backbones": [SMALL], "weights": str(weights), "image_sizes": [32]})
    config = study_config(training={"epochs": 2, "normalization": ["zca", "standardize"]})
    trial = begin(config)
    blocks = {"cut_blocks": 7, "fine_tune": True, "unfrozen_blocks": 3}
    trial.preset = {**blocks, "fine_tuning_rate": 0.5, "head_convolution": False, "dense_layers": 0}
    evaluation = Trainer(config, few, {"transfer": space})(trial)
    assert trial.preset.items() <= trial.facts["hyperparameters"].items()
    assert "training/normalization" not in trial.facts["hyperparameters"]  # it preprocesses images by itself
    assert evaluation.recipe["normalization"] == "scale"
    assert [layer.name for layer in evaluation.network.layers[:-1]] == ["pixels", "scale"]
    curve = trial._study.read_curve(0)
    assert [epoch.learning_rate for epoch in curve] == [None, pytest.approx(0.005)]  # the head is solved first
    assert len(list((tmp_path / "features").glob("*.npy"))) == 4  # of all blocks, pooled, then of the frozen ones

    fresh = space.build(CheckedHyperParameters(trial.facts["hyperparameters"]))
    space.initialize(CheckedHyperParameters(trial.facts["hyperparameters"]), fresh)
    network = evaluation.network.layers[-1]
    for mine, its in zip(network.get_layer(FROZEN).get_weights(), fresh.get_layer(FROZEN).get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    for mine, its in zip(network.get_layer(UNFROZEN).layers, fresh.get_layer(UNFROZEN).layers, strict=True):
        is_still = isinstance(mine, keras.layers.BatchNormalization)
        for new, old in zip(mine.get_weights(), its.get_weights(), strict=True):
            assert np.array_equal(new, old) == is_still, mine.name
    predicted = evaluation.network.predict(few.validation.images, verbose=0).argmax(-1)
    assert curve[-1].metrics["val_accuracy"] == pytest.approx((predicted == few.validation.labels).mean())


def test_batch_normalisation_stays_as_it_was_in_the_unfrozen_part(small: Any) -> None:
    hp = CheckedHyperParameters({"cut_blocks": 6, "fine_tune": True, "unfrozen_blocks": 4, "head_dropout": 0.0})
    model = small.build(hp)
    small.initialize(hp, model)
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    for _ in small.phases(hp, model):
        before = model.get_weights()
        np.testing.assert_allclose(model(images, training=True), model(images, training=False), rtol=1e-5, atol=1e-6)
        for mine, its in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(mine, its)


def test_files_of_the_same_name_have_blocks_of_their_own(transfer: LoadedSpace, tmp_path: Path) -> None:
    """Each study saves its model as best.keras."""
    from searchcnn.results import save_model
    from searchcnn.training import make_classifier

    paths = [tmp_path / study / "best.keras" for study in ("one", "two")]
    for count, path in enumerate(paths, 2):
        convolutions = [keras.layers.Conv2D(4, 3) for _ in range(count)]
        end = [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
        network = keras.Sequential([keras.Input((8, 8, 1)), *convolutions, *end])
        save_model(path, make_classifier(network, (8, 8, 1)), {})
    space = transfer.create(*DIGITS, {"backbones": [str(path) for path in paths]})
    declared = []
    for path in paths:
        hp = CheckedHyperParameters({"backbone": str(path)})
        hp.values[f"{path}/fine_tune"] = True
        model = space.build(hp)
        space.initialize(hp, model)
        loaded = keras.models.load_model(path)
        stored = next(layer for layer in loaded.layers if isinstance(layer, keras.Model)).get_weights()
        weights = [weight for name in (FROZEN, UNFROZEN) for weight in model.get_layer(name).get_weights()]
        for mine, its in zip(weights, stored, strict=False):
            np.testing.assert_array_equal(mine, its)
        declared.append({item.name: item.max_value for item in hp.space if "unfrozen_blocks" in item.name})
    assert declared == [{f"{paths[0]}/unfrozen_blocks": 2}, {f"{paths[1]}/unfrozen_blocks": 3}]


def save_foreign(path: Path, sides: tuple[int | None, int | None], *front: Any) -> str:
    """Saves a network of others, for colours."""
    convolutions = [keras.layers.Conv2D(4, 3, padding="same") for _ in range(2)]
    keras.Sequential([keras.Input((*sides, 3)), *front, *convolutions, keras.layers.GlobalMaxPooling2D()]).save(path)
    return str(path)


def test_networks_of_others(transfer: LoadedSpace, tmp_path: Path) -> None:
    """Of one size and of any, with their own preprocessing and without."""
    fixed = save_foreign(tmp_path / "fixed.keras", (12, 12), keras.layers.Rescaling(1 / 255))
    free = save_foreign(tmp_path / "free.keras", (None, None))
    options = {"backbones": [fixed, free], "image_sizes": [16, 20], "preprocessing": {free: "tf"}}
    space = transfer.create(*DIGITS, options)
    for name, sizes, scale in ((fixed, {12}, [255.0]), (free, {16, 20}, [2.0] * 3)):
        seen = set()
        for size in (16, 20):
            hp = CheckedHyperParameters({"backbone": name, "image_size": size})
            model = space.build(hp)
            seen.add(model.get_layer(FROZEN).input_shape[1])
            assert ("image_size" in hp.active) == (name == free)
            assert [layer.scale for layer in model.layers if isinstance(layer, keras.layers.Rescaling)] == [scale]
        assert seen == sizes


def test_the_network_that_comes_with_searchcnn(transfer: LoadedSpace) -> None:
    """Its weights are in both parts, without a download."""
    space = transfer.create(*DIGITS, {"backbones": ["EfficientNetLite0"], "image_sizes": [32, 48]})
    hp = CheckedHyperParameters({"cut_blocks": 8, "fine_tune": True, "unfrozen_blocks": 2, "image_size": 48})
    model = space.build(hp)
    space.initialize(hp, model)
    whole = space.ask_backbone(hp, "imagenet").network
    for name, first in ((FROZEN, "stem_conv"), (UNFROZEN, "block_4b_depthwise_conv")):
        weights = model.get_layer(name).get_layer(first).get_weights()
        np.testing.assert_array_equal(weights, whole.get_layer(first).get_weights())
    assert {item.name: item.max_value for item in hp.space if "blocks" in item.name} == {
        "cut_blocks": 8,
        "unfrozen_blocks": 17,
    }


def test_preprocessing_for_all_files(transfer: LoadedSpace, tmp_path: Path) -> None:
    path = save_foreign(tmp_path / "net.keras", (12, 12))
    space = transfer.create(*DIGITS, {"backbones": [path, SMALL], "image_sizes": [32], "preprocessing": {"std": 51}})
    assert space.ask_backbone(CheckedHyperParameters({"backbone": path})).preprocessing.scale == (5.0,)
    assert space.ask_backbone(CheckedHyperParameters({"backbone": SMALL})).preprocessing.scale == (2.0,) * 3
    with pytest.raises(PluginError, match="nothing in it says what pixels it was trained on; set the option prepro"):
        transfer.create(*DIGITS, {"backbones": [path]}).build(CheckedHyperParameters())


@pytest.mark.slow
def test_a_classifier_on_a_network_of_others(
    transfer: LoadedSpace, study_config: Config, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes raw pixels, and a search goes on from it as from any other that was saved."""
    from searchcnn.results import save_model

    monkeypatch.setattr(features, "locate_cache", lambda kind: tmp_path / kind)
    path = save_foreign(tmp_path / "net.keras", (None, None), keras.layers.RandomFlip())
    space = transfer.create(*DIGITS, {"backbones": [path], "image_sizes": [12], "preprocessing": "tf"})
    network, _ = run_dry(Trainer(study_config(), few, {"transfer": space}), "transfer")
    save_model(tmp_path / "best.keras", network, {})
    loaded = keras.models.load_model(tmp_path / "best.keras")
    images = few.validation.images[:8]
    np.testing.assert_allclose(loaded.predict(images, verbose=0), network.predict(images, verbose=0), rtol=1e-5)
    again = transfer.create(*DIGITS, {"backbones": [str(tmp_path / "best.keras")]})
    assert again.build(CheckedHyperParameters()).output_shape == (None, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbones": []}, "must name at least one each"),
        ({"image_sizes": []}, "must name at least one each"),
        ({"backbones": [SMALL, "VGG16"], "weights": "a.weights.h5"}, "fit one backbone, not MobileNet.* and VGG16"),
        ({"backbones": ["best.keras"], "weights": "none"}, "a .keras file has its own"),
        ({"weights": "none", "linear": True}, "linear heads need pretrained features"),
        ({"fine_tuning": 0.0}, "fine_tuning must be a fraction of the epochs, above 0 and up to 1, not 0.0"),
        ({"fine_tuning": 1.5}, "above 0 and up to 1, not 1.5"),
        ({"preprocessing": "tf"}, "preprocessing is for .keras files among the backbones, not for EfficientNetLite0"),
        ({"backbones": ["a.keras"], "preprocessing": {"b.keras": "tf"}}, "among the backbones, not for b.keras"),
        ({"backbones": ["a.keras"], "preprocessing": {"a.keras": "cafe"}}, "'cafe' is unknown; did you mean 'caffe'?"),
        ({"backbones": ["a.keras"], "preprocessing": {"std": 0}}, "scale and std must not be 0"),
    ],
)
def test_options_that_do_not_go_together(transfer: LoadedSpace, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        transfer.create(*DIGITS, options)


def test_files_that_a_study_depends_on(transfer: LoadedSpace) -> None:
    space = transfer.create(*DIGITS, {"backbones": [SMALL, "best.keras"], "weights": "a.weights.h5"})
    assert [str(path) for path in space.files()] == ["a.weights.h5", "best.keras"]
    assert transfer.create(*DIGITS).files() == []
