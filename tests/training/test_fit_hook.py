"""A search space's own `fit`, as Keras Tuner allows it: what it may return, ask for and do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import PluginError
from searchcnn.search import Trial
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402

from searchcnn.training import Trainer, run_dry  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
MakeSpace = Callable[..., Any]


class History(keras.callbacks.History):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.history = {"val_accuracy": list(values)}


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (0.25, 0.25),
        (1, 1.0),
        (np.float32(0.25), 0.25),
        ({"val_accuracy": 0.25, "val_loss": 3.0}, 0.25),
        ({"val_accuracy": [0.125, 0.25]}, 0.25),
        (History(0.5, 0.25), 0.25),
        ([0.25, 0.75], 0.5),
        ([History(0.25), {"val_accuracy": 0.75}], 0.5),
    ],
)
def test_what_fit_may_return(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, returned: Any, value: float
) -> None:
    config = study_config()
    evaluation = Trainer(config, few, {"net": make_space(fit=lambda *args, **kwargs: returned)})(begin(config))
    assert evaluation.value == value
    assert evaluation.network is not None


def test_fit_may_return_that_it_has_no_number(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    config = study_config()
    evaluation = Trainer(config, few, {"net": make_space(fit=lambda *args, **kwargs: float("nan"))})(begin(config))
    assert np.isnan(evaluation.value)


@pytest.mark.parametrize("returned", [None, {}, {"accuracy": 1.0}, [], "0.5", [None]])
def test_what_fit_may_not_return(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, returned: Any
) -> None:
    config = study_config()
    trainer = Trainer(config, few, {"net": make_space(fit=lambda *args, **kwargs: returned)})
    with pytest.raises(PluginError, match=r"fit\(\) returned \w+ without 'val_accuracy'; pass on `callbacks`"):
        trainer(begin(config))


def test_with_the_callbacks_passed_on_nothing_need_be_returned(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def fit(hp: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        model.fit(*args, **kwargs)

    config = study_config()
    trial = begin(config)
    evaluation = Trainer(config, few, {"net": make_space(fit=fit)})(trial)
    assert evaluation.value == trial._study.read_curve(0)[0].metrics["val_accuracy"]


def test_fit_may_ask_for_hyperparameters_and_for_shuffling(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    """The `fit` of Keras Tuner's own guide."""

    def fit(hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, shuffle=hp.Boolean("shuffle"), **kwargs)

    for shuffle in (False, True):
        config = study_config()
        trial = begin(config)
        trial.preset = {"shuffle": shuffle, "units": 16}
        Trainer(config, few, {"net": make_space(fit=fit)})(trial)
        assert trial.facts["hyperparameters"] == {"units": 16, "shuffle": shuffle}
        assert trial._study.list_trials()[0].user_attrs["hyperparameters"] == {"units": 16, "shuffle": shuffle}


def test_what_fit_asks_for_is_in_its_spaces_scope(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def fit(hp: Any, model: Any, *args: Any, **kwargs: Any) -> float:
        return hp.Float("score", 0.0, 1.0)  # type: ignore[no-any-return]

    config = study_config()
    trial = begin(config)
    trial.preset = {"space": "b", "b/units": 16, "b/score": 0.75}
    evaluation = Trainer(config, few, {"a": make_space(), "b": make_space(fit=fit)})(trial)
    assert evaluation.value == 0.75
    assert trial.facts["hyperparameters"] == trial.preset


@pytest.mark.slow
def test_fit_may_train_twice(study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace) -> None:
    """Keras numbers the epochs of both from 0; the trial's curve goes on."""

    def fit(hp: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        for _ in range(2):
            model.fit(*args, **kwargs)

    config = study_config(training={"epochs": 2})
    trial = begin(config)
    evaluation = Trainer(config, few, {"net": make_space(fit=fit)})(trial)
    curve = trial._study.read_curve(0)
    assert [epoch.number for epoch in curve] == [1, 2, 3, 4]
    assert evaluation.value == max(epoch.metrics["val_accuracy"] for epoch in curve)


@pytest.mark.parametrize("last", [0.25, float("nan")])
def test_fit_may_be_a_loop_of_its_own(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, last: float
) -> None:
    """As in Keras Tuner's guide, it tells the callbacks of the end of each epoch and of nothing else."""

    def fit(hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> float:
        for callback in callbacks:
            callback.set_model(model)
        for epoch, value in enumerate([0.5, last]):
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"val_accuracy": value})
        return 0.125

    config = study_config()
    trial = begin(config)
    evaluation = Trainer(config, few, {"net": make_space(fit=fit)})(trial)
    if last == 0.25:
        assert evaluation.value == 0.5
        assert [(epoch.number, epoch.metrics) for epoch in trial._study.read_curve(0)] == [
            (1, {"val_accuracy": 0.5}),
            (2, {"val_accuracy": 0.25}),
        ]
    else:
        assert np.isnan(evaluation.value)
        assert len(trial._study.read_curve(0)) == 1


def custom_loop(
    hp: Any, model: Any, x: Any, y: Any, validation_data: Any, callbacks: Any = None, **kwargs: Any
) -> float:
    """The loop of Keras Tuner's guide on custom training, with gradients left to Keras."""
    order = np.random.default_rng(0).permutation(len(x))
    batch_size = hp.Int("loop_batch", 16, 64, step=16, default=32)
    for callback in callbacks:
        callback.set_model(model)
    for start in range(0, len(x), batch_size):
        part = order[start : start + batch_size]
        model.train_on_batch(x[part], y[part])
    images, labels = validation_data
    return float((model.predict(images, verbose=0).argmax(-1) == labels).mean())


def test_a_custom_loop_gets_arrays(study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace) -> None:
    config, space = study_config(), make_space()
    space.hypermodel.fit = custom_loop
    trial = begin(config)
    evaluation = Trainer(config, few, {"net": space})(trial)
    predicted = evaluation.network.predict(few.validation.images, verbose=0).argmax(-1)
    assert evaluation.value == pytest.approx((predicted == few.validation.labels).mean())
    assert trial.facts["hyperparameters"]["loop_batch"] in (16, 32, 48, 64)


def test_a_loop_that_never_validates_is_told_what_to_return(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    config, space = study_config(), make_space()
    space.hypermodel.fit = lambda hp, model, x, callbacks: model.fit(x, callbacks=callbacks[:1], verbose=0)
    with pytest.raises(PluginError, match="without 'val_accuracy'; pass on `callbacks`"):
        Trainer(config, few, {"net": space})(begin(config))


def test_a_baseline_with_an_unknown_name(study_config: Config, few: Dataset, make_space: MakeSpace) -> None:
    with pytest.raises(PluginError, match="'no_such' is not a hyperparameter of this point"):
        Trainer(study_config(), few, {"net": make_space()}).resolve_point("net", {"no_such": 1})


@pytest.mark.parametrize("takes", ["batches", "arrays", "other names"])
@pytest.mark.parametrize("size", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_the_batch_size_that_fit_gives_counts(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, takes: str, size: int
) -> None:
    steps = []

    def train(hp: Any, model: Any, *images: Any, **options: Any) -> Any:
        history = model.fit(*images, batch_size=hp.Choice("batch_size", [size]), **options)
        steps.append(int(model.optimizer.iterations))
        return history

    space = make_space()
    space.hypermodel.fit = {
        "batches": train,
        "arrays": lambda hp, model, x, y, *more, **options: train(hp, model, x, y, *more, **options),
        "other names": lambda hp, model, pixels, digits, validation_data, callbacks=None, **options: train(
            hp, model, pixels, digits, validation_data=validation_data, callbacks=callbacks, **options
        ),
    }[takes]
    config = study_config(training={"epochs": 2})
    trial = begin(config)
    Trainer(config, few, {"net": space})(trial)
    assert steps == [2 * -(-len(few.train) // size)]
    assert trial.facts["hyperparameters"]["batch_size"] == size


def test_without_a_size_of_its_own_fit_uses_the_recipe_s(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    steps = []

    def fit(hp: Any, model: Any, x: Any, y: Any, **options: Any) -> Any:
        history = model.fit(x, y, **options)
        steps.append(int(model.optimizer.iterations))
        return history

    config, space = study_config(training={"batch_size": 64}), make_space()
    space.hypermodel.fit = fit
    Trainer(config, few, {"net": space})(begin(config))
    assert steps == [len(few.train) / 64]


def test_fit_may_set_anything_itself(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["epochs"] = hp.Int("epochs", 3, 3)
        return model.fit(*args, verbose=2, shuffle=True, batch_size=128, **kwargs)

    config = study_config()
    trial = begin(config)
    Trainer(config, few, {"net": make_space(fit=fit)})(trial)
    assert len(trial._study.read_curve(0)) == 3
    assert "2/2" in capsys.readouterr().out


def test_the_dry_run_calls_fit(study_config: Config, few: Dataset, make_space: MakeSpace) -> None:
    def fit(hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        raise KeyError("forgotten")

    with pytest.raises(PluginError, match="search space 'net' fails with its default values: KeyError: 'forgotten'"):
        run_dry(Trainer(study_config(), few, {"net": make_space(fit=fit)}), "net")
    with pytest.raises(PluginError, match=r"fit\(\) returned NoneType without 'val_accuracy'"):
        run_dry(Trainer(study_config(), few, {"net": make_space(fit=lambda *args, **kwargs: None)}), "net")
    with pytest.raises(PluginError, match="does not change the network: train the model that it is given, or copy"):
        run_dry(Trainer(study_config(), few, {"net": make_space(fit=lambda *args, **kwargs: 0.5)}), "net")


@pytest.mark.parametrize("is_told", [pytest.param(True, marks=pytest.mark.slow), False])
def test_fit_may_train_a_copy(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, is_told: bool
) -> None:
    """What is saved is what was scored; the batch size counts for the copy, too."""
    steps = []

    def fit(hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
        copy = keras.models.clone_model(model)
        copy.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = copy.fit(*args, batch_size=16, callbacks=callbacks if is_told else [], **kwargs)
        model.set_weights(copy.get_weights())
        steps.append(int(copy.optimizer.iterations))
        return history

    config = study_config(training={"epochs": 4})
    trainer = Trainer(config, few, {"net": make_space(fit=fit)})
    run_dry(trainer, "net")
    evaluation = trainer(begin(config))
    predicted = evaluation.network.predict(few.validation.images, verbose=0).argmax(-1)
    assert evaluation.value == pytest.approx((predicted == few.validation.labels).mean())
    assert evaluation.value > 0.6
    assert steps[1] == 4 * len(few.train) / 16
