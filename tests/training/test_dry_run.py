"""One batch of each search space finds what would go wrong later."""

from collections.abc import Callable
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import InfeasibleError, PluginError, StudyFileError
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.training import Trainer, run_dry  # noqa: E402
from searchcnn.training import dry_run as dry_run_module  # noqa: E402

Config = Callable[..., StudyConfig]
MakeSpace = Callable[..., Any]
layers = keras.layers


def dense(activation: str, **compiled: Any) -> Callable[[Any], Any]:
    def build(hp: Any) -> Any:
        model = keras.Sequential([layers.Flatten(), layers.Dense(10, activation=activation)])
        if compiled:
            model.compile("sgd", **compiled)
        return model

    return build


def test_the_default_network_of_the_space_comes_back(study_config: Config, few: Dataset, make_space: MakeSpace) -> None:
    model, _ = run_dry(Trainer(study_config(), few, {"one": make_space(dense("softmax")), "two": make_space()}), "two")
    assert model.count_params() == 65 * 32 + 33 * 10


@pytest.mark.parametrize(("backend", "is_eager"), [("tensorflow", True), ("jax", False)])
def test_only_one_step_is_compiled_where_each_operation_would_be(
    study_config: Config,
    few: Dataset,
    make_space: MakeSpace,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    is_eager: bool,
) -> None:
    stretches: list[Any] = []

    def fit_phase(_candidate: Any, stretch: Any) -> dict[str, float]:
        stretches.append(stretch)
        return {"val_accuracy": 0.5}

    monkeypatch.setattr(dry_run_module, "fit_phase", fit_phase)
    monkeypatch.setattr(dry_run_module, "clear_keras", lambda: None)  # JAX need not be there
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    run_dry(Trainer(study_config(), few, {"net": make_space()}), "net")
    assert [stretch.is_eager for stretch in stretches] == [is_eager]


@pytest.mark.parametrize(
    ("objective", "build", "message"),
    [
        ("val_acuracy", None, r"search.objective: 'val_acuracy' is not measured; did you mean 'val_accuracy'\? "),
        ("val_f1", None, r"is not measured \(measured: val_accuracy, val_loss\)$"),
        ("val_accuracy", dense("softmax", loss="categorical_crossentropy"), r"not measured .*\(measured: val_loss\)"),
    ],
)
def test_an_objective_that_is_not_measured(
    study_config: Config, few: Dataset, make_space: MakeSpace, objective: str, build: Any, message: str
) -> None:
    config = study_config(search={"objective": objective, "direction": "maximize"})
    with pytest.raises(StudyFileError, match=message):
        run_dry(Trainer(config, few, {"net": make_space(build)}), "net")


def broken(hp: Any) -> Any:
    raise KeyError("no such\nthing")


def infeasible(hp: Any) -> Any:
    raise InfeasibleError("too deep", "9 > 8")


def impossible(hp: Any) -> Any:
    return keras.Sequential([layers.Conv2D(4, 9), layers.Flatten(), layers.Dense(10)])


def contradictory(hp: Any) -> Any:
    hp.Int("x", 1, 2)
    hp.Int("x", 1, 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            broken,
            r"^search space 'net' fails with its default values: KeyError: 'no such\\nthing' \(test_dry_run.py:\d+\)$",
        ),
        (infeasible, r"^search space 'net': its default network cannot be built: too deep: 9 > 8$"),
        (impossible, r"^search space 'net': its default network cannot be built: invalid graph: "),
        (contradictory, r"hyperparameter 'x' is declared twice with different meanings"),
        (dense("sigmoid"), r"the first output does not sum to 1; end the network with a softmax activation, as in"),
        (dense("linear", loss="mse", metrics=["accuracy"]), r"the first output does not sum to 1"),
        (dense("softmax", loss="mse", metrics=["nonsense"]), r"fails with its default values: ValueError: "),
        (lambda hp: None, r"returned NoneType; expected a keras.Model"),
    ],
)
def test_a_search_space_that_cannot_be_trained(
    study_config: Config, few: Dataset, make_space: MakeSpace, build: Any, message: str
) -> None:
    with pytest.raises(PluginError, match=message) as raised:
        run_dry(Trainer(study_config(), few, {"net": make_space(build)}), "net")
    assert "\n" not in str(raised.value)


def test_one_of_several_spaces_is_named(study_config: Config, few: Dataset, make_space: MakeSpace) -> None:
    trainer = Trainer(study_config(), few, {"good": make_space(dense("softmax")), "bad": make_space(broken)})
    good, _ = run_dry(trainer, "good")
    assert good.count_params() == 65 * 10
    with pytest.raises(PluginError, match="search space 'bad' fails"):
        run_dry(trainer, "bad")


def test_augmentation_that_cannot_reach_a_space_s_own_fit(
    study_config: Callable[..., StudyConfig], few: Dataset, make_space: Callable[..., Any]
) -> None:
    class Space(type(make_space().hypermodel)):  # type: ignore[misc]
        def fit(self, hp: Any, model: Any, x: Any, y: Any, **options: Any) -> Any:
            return model.fit(x, y, **options)

    space = make_space()
    space.hypermodel.__class__ = Space
    for training, named in (
        ({"flip": True}, "training.flip"),
        ({"rotation": [0.0, 15.0], "class_weights": True}, "training.rotation and training.class_weights"),
    ):
        with pytest.raises(StudyFileError, match=rf"^{named} cannot reach search space 'net', whose own fit") as raised:
            run_dry(Trainer(study_config(training=training), few, {"net": space}), "net")
        assert "\n" not in str(raised.value)
    run_dry(Trainer(study_config(training={"normalization": "zca"}), few, {"net": space}), "net")


@pytest.mark.parametrize("mixup", [0.2, [0.0, 0.2], {"min": 0.0, "max": 0.4}])
def test_labels_cannot_be_blended_for_a_sparse_loss(
    study_config: Config, few: Dataset, make_space: MakeSpace, mixup: Any
) -> None:
    def trainer(loss: str) -> Trainer:
        build = dense("softmax", loss=loss, metrics=["accuracy"])
        return Trainer(study_config(training={"mixup": mixup}), few, {"net": make_space(build)})

    with pytest.raises(
        StudyFileError, match=r"^training.mixup blends labels, but search space 'net' compiles"
    ) as raised:
        run_dry(trainer("sparse_categorical_crossentropy"), "net")
    assert "\n" not in str(raised.value)
    run_dry(trainer("categorical_crossentropy"), "net")


def test_the_classifier_takes_raw_pixels(study_config: Config, few: Dataset, make_space: MakeSpace) -> None:
    trainer = Trainer(
        study_config(training={"normalization": ["zca", "scale"], "mixup": 0.2}), few, {"net": make_space()}
    )
    finished, _ = run_dry(trainer, "net")
    assert [layer.name for layer in finished.layers[:-1]] == ["pixels", "scale", "standardize", "whiten"]
    assert finished.predict(few.validation.images, verbose=0).shape == (96, 10)
