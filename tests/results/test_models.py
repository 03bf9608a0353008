"""Saved models: one ordinary Keras file that works anywhere, with a card, replaced at once, verified."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import StoreError, StudyFailedError, UsageError
from searchcnn.job import Job
from searchcnn.search import Evaluation, Trial
from searchcnn.study import StudyConfig, Workspace

start_keras()

import keras  # noqa: E402

from searchcnn.results import (  # noqa: E402
    Models,
    examination,
    export_model,
    formats,
    read_card,
    read_predictions,
    save_model,
)
from searchcnn.results import export as export_module  # noqa: E402
from searchcnn.results import models as models_module  # noqa: E402
from searchcnn.results.calibration import temper  # noqa: E402
from searchcnn.results.evaluation import predict_part  # noqa: E402
from searchcnn.results.verification import verify, verify_here  # noqa: E402
from searchcnn.training import Checkpoints, make_classifier  # noqa: E402

SHAPE = (8, 8, 1)
ORIGINS = {"net": {"location": "plugins/net.py", "fingerprint": "abc"}}


@keras.saving.register_keras_serializable("test_models")
def peak(x: Any) -> Any:
    return keras.ops.softmax(2 * x)


def predict_probabilities(network: Any, data: Dataset) -> Any:
    return network.predict(data.validation.images / np.float32(255), verbose=0)


@pytest.mark.slow
def test_the_file_works_in_plain_keras_for_every_type_of_pixel(
    saved: Path, network: Any, few: Dataset, tmp_path: Path
) -> None:
    np.savez(tmp_path / "given.npz", images=few.validation.images, expected=predict_probabilities(network, few))
    code = """
import sys, numpy as np, keras
model, given = keras.models.load_model(sys.argv[1]), np.load(sys.argv[2])
assert not [name for name in sys.modules if name.startswith(("searchcnn", "keras_tuner", "optuna"))]
assert model.input_shape == (None, 8, 8, 1) and model.output_shape == (None, 10), (model.input_shape)
for dtype in ("uint8", "int32", "float32", "float64"):
    predicted = model.predict(given["images"].astype(dtype), verbose=0)
    assert predicted.shape == (96, 10), predicted.shape
    assert abs(predicted - given["expected"]).max() < 1e-5, dtype
    assert abs(np.asarray(model(given["images"].astype(dtype))) - given["expected"]).max() < 1e-5, dtype
"""
    command = [sys.executable, "-c", code, str(saved), str(tmp_path / "given.npz")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_several_outputs_become_the_first(tmp_path: Path, network: Any, few: Dataset) -> None:
    second = keras.layers.Dense(3)(keras.layers.Flatten()(network.input))
    two = keras.Model(network.input, [network.output, second])
    save_model(tmp_path / "two.keras", make_classifier(two, SHAPE), {})
    loaded = keras.models.load_model(tmp_path / "two.keras")
    predicted = loaded.predict(few.validation.images, verbose=0)
    assert np.allclose(predicted, predict_probabilities(network, few), atol=1e-5)


class Ranks:
    """What models ask of a study's rows in its database: which trials have ended, wait, and are the best."""

    def __init__(self) -> None:
        self.best: list[int] = []
        self.ended: list[int] = []
        self.waiting: list[int] = []

    def list_best(self, count: int) -> list[int]:
        return self.best[:count]

    def list_finished(self) -> list[int]:
        return self.ended

    def list_planned(self) -> list[tuple[int, TrialState, dict[str, Any]]]:
        return [(number, TrialState.PRUNED, {}) for number in self.waiting]


@pytest.fixture
def ranks() -> Any:
    return Ranks()


@pytest.fixture
def models_at(few: Dataset, study_config: Callable[..., StudyConfig], ranks: Any) -> Callable[[Path], Models]:
    """Returns a maker of a study's models, given the path of the best one."""

    def make(path: Path) -> Models:
        job = Job("mine", study_config(seed=7), Workspace(path.parent.parent))
        models = Models(job, few, ranks, Checkpoints(path.parent / "checkpoints"), ORIGINS)
        models.path = path
        return models

    return make


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Returns what saved models are compared with from then on: what is expected of each."""
    expectations: list[Any] = []
    monkeypatch.setattr(models_module, "verify", lambda path, images, expected: expectations.append(expected))
    return expectations


@pytest.fixture
def keep(finished: Any, study_config: Callable[..., StudyConfig], begin: Callable[..., Trial]) -> Callable[..., None]:
    """Returns what keeps a classifier as that of a trial: ``keep(models, number=2, value=0.5, params=123)``."""

    def keep_(models: Models, number: int, value: float, recipe: Mapping[str, Any] | None = None, **facts: Any) -> None:
        trial = begin(study_config(), number)
        trial.facts.update({"space": "net", "hyperparameters": {}, "params": 1, "macs": 1, **facts})
        models.save(trial, Evaluation(value, finished, recipe=recipe or {}))

    return keep_


def test_the_card(
    tmp_path: Path, few: Dataset, models_at: Callable[[Path], Models], keep: Callable[..., None], ranks: Ranks
) -> None:
    best = models_at(tmp_path / "best.keras")
    recipe = {"rotation": 15.0, "normalization": "zca"}
    keep(best, 2, 0.75, recipe, hyperparameters={"units": 8, "wide": True}, params=123, macs=456)
    ranks.best, ranks.ended = [2], [2]
    best.tidy()
    card = read_card(tmp_path / "best.keras")
    assert card["sha256"] == hashlib.sha256((tmp_path / "best.keras").read_bytes()).hexdigest()
    assert {key: card[key] for key in ("study", "trial", "space", "plugin", "hyperparameters", "params", "macs")} == {
        "study": "mine",
        "trial": 2,
        "space": "net",
        "plugin": ORIGINS["net"],
        "hyperparameters": {"units": 8, "wide": True},
        "params": 123,
        "macs": 456,
    }
    assert card["seed"] == 7
    assert card["data"] == {"name": "digits", "fingerprint": few.fingerprint}
    assert card["classes"] == list("0123456789")
    assert card["input_shape"] == [8, 8, 1]
    assert card["scores"] == {"validation": {"accuracy": 0.75, "images": 96}}
    assert card["training"]["learning_rate"] == 0.01
    assert card["recipe"] == {"rotation": 15.0, "normalization": "zca"}
    assert card["versions"]["keras"] == keras.__version__
    assert sorted(path.name for path in tmp_path.glob("best*")) == ["best.json", "best.keras"]


def test_the_best_models_are_kept_and_the_best_of_them_is_promoted(
    tmp_path: Path, models_at: Callable[[Path], Models], keep: Callable[..., None], ranks: Ranks
) -> None:
    models = models_at(tmp_path / "best.keras")

    def end(number: int, *ranked: int) -> tuple[int, list[str]]:
        keep(models, number, 0.5)
        ranks.best, ranks.ended = [*ranked], [*range(number + 1)]
        models.tidy()
        files = sorted(path.name for path in (tmp_path / "models").glob("*.keras"))
        assert len(list((tmp_path / "models").iterdir())) == 2 * len(files)  # and their cards
        return read_card(models.path)["trial"], files

    assert end(0, 0) == (0, ["trial-0000.keras"])
    assert end(1, 0, 1) == (0, ["trial-0000.keras", "trial-0001.keras"])
    assert end(2, 2, 0) == (2, ["trial-0000.keras", "trial-0002.keras"])
    models.get_file(2).unlink()  # by the user; the next best one is taken
    models.get_file(2).with_suffix(".json").unlink()
    assert end(3, 2, 3) == (3, ["trial-0003.keras"])
    models.path.unlink()
    ranks.ended = []
    models_at(models.path).tidy()
    assert read_card(models.path)["trial"] == 3


def test_a_card_that_is_missing_or_of_another_model(saved: Path) -> None:
    with pytest.raises(StoreError, match=r"other.json: no such file; a study has a model once its first trial"):
        read_card(saved.with_name("other.keras"))
    text = saved.with_suffix(".json").read_text()
    for wrong in ("{}", "[]", "not JSON", '"text"'):
        saved.with_suffix(".json").write_text(wrong)
        with pytest.raises(StoreError, match=r"best.json: not a model card") as raised:
            read_card(saved)
        assert "\n" not in str(raised.value)
    saved.with_suffix(".json").write_text(text)
    assert read_card(saved)["study"] == "test"
    saved.write_bytes(saved.read_bytes() + b"x")
    with pytest.raises(StoreError, match=r"best.json describes a file other than best.keras"):
        read_card(saved)
    saved.unlink()
    with pytest.raises(StoreError, match=r"best.keras: no such file"):
        read_card(saved)


def test_saving_replaces_the_file_at_once(saved: Path, finished: Any) -> None:
    """Whoever opens the file while another is saved gets a whole one."""
    seen, done = set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(hashlib.sha256(saved.read_bytes()).hexdigest())

    reader = threading.Thread(target=look)
    reader.start()
    written = [read_card(saved)["sha256"]]
    for _ in range(3):
        save_model(saved, finished, {})
        written.append(read_card(saved)["sha256"])
    done.set()
    reader.join()
    assert seen <= set(written)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["best.json", "best.keras"]


@pytest.mark.parametrize("failing", ["hash_file", "save"])
def test_an_interrupted_save_leaves_the_old_file(
    saved: Path, finished: Any, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def half(model: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    before = saved.read_bytes()
    if failing == "save":
        monkeypatch.setattr(keras.Model, "save", half)
    else:
        monkeypatch.setattr(export_module, "hash_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_model(saved, finished, {"study": "new"})
    assert saved.read_bytes() == before
    assert read_card(saved)["study"] == "test"
    assert sorted(path.name for path in saved.parent.iterdir()) == ["best.json", "best.keras"]


@pytest.mark.slow
def test_verification(saved: Path, network: Any, few: Dataset, tmp_path: Path) -> None:
    """It finds another network, a layer that plain Keras does not know, and half a file."""

    class Mine(keras.layers.Layer):
        def call(self, images: Any) -> Any:
            return images

    mine, half = tmp_path / "mine.keras", tmp_path / "half.keras"
    flat = keras.layers.Flatten()
    custom = keras.Sequential([keras.Input(SHAPE), Mine(), flat, keras.layers.Dense(10, activation="softmax")])
    save_model(mine, make_classifier(custom, SHAPE), {})
    half.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])

    def message(path: Path) -> str:
        with pytest.raises(StudyFailedError) as raised:
            verify(path, few.validation.images, np.roll(expected, 1, axis=-1))
        return str(raised.value)

    expected = predict_probabilities(network, few)
    with ThreadPoolExecutor() as pool:  # a fresh process each
        other, unknown, truncated = pool.map(message, (saved, mine, half))
    assert re.fullmatch(r".*best.keras: the saved model's predictions differ from the trained .* by 0\.\d+", other)
    assert re.fullmatch(r".*mine.keras: plain Keras cannot load the saved model: .*; .* only use stock layers", unknown)
    assert re.fullmatch(
        r".*half.keras: plain Keras cannot load the saved model: .*; .* only use stock layers", truncated
    )


def test_a_model_that_is_loaded_here_predicts_what_was_saved(
    saved: Path, finished: Any, few: Dataset, tmp_path: Path
) -> None:
    images = few.validation.images[:16]
    verify_here(saved, finished, images)
    other = keras.models.clone_model(finished)  # it has weights of its own
    with pytest.raises(StudyFailedError, match=r"best.keras: the saved model's predictions differ"):
        verify_here(saved, other, images)
    half = tmp_path / "half.keras"
    half.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with pytest.raises(StudyFailedError, match=r"half.keras: plain Keras cannot load the saved model: .*stock layers"):
        verify_here(half, finished, images)


@pytest.mark.parametrize("loaded", [np.nan, 0.5])
def test_only_the_same_predictions_pass(
    saved: Path, few: Dataset, monkeypatch: pytest.MonkeyPatch, loaded: float
) -> None:
    script = f"import sys, numpy; numpy.save(sys.argv[-1], numpy.full((96, 10), float('{loaded}'), 'float32'))"
    monkeypatch.setattr(formats, "FORMATS", [replace(formats.KERAS, script=script)])
    for trained in (np.nan, 0.5):
        expected = np.full((96, 10), trained, np.float32)
        if trained is loaded:
            verify(saved, few.validation.images, expected)
        else:
            with pytest.raises(StudyFailedError, match="predictions differ"):
                verify(saved, few.validation.images, expected)


@pytest.mark.parametrize(("gpu", "loaded", "passes"), [("-1", 0.502, False), ("0", 0.502, True), ("0", 0.52, False)])
def test_a_gpu_rounds_more(
    saved: Path, few: Dataset, monkeypatch: pytest.MonkeyPatch, gpu: str, loaded: float, passes: bool
) -> None:
    script = f"import sys, numpy; numpy.save(sys.argv[-1], numpy.full((96, 10), {loaded}, 'float32'))"
    monkeypatch.setattr(formats, "FORMATS", [replace(formats.KERAS, script=script)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu)
    with contextlib.nullcontext() if passes else pytest.raises(StudyFailedError, match="predictions differ"):
        verify(saved, few.validation.images, np.full((96, 10), 0.5, np.float32))


def test_a_rehearsal_leaves_the_best_model_alone(
    tmp_path: Path, finished: Any, models_at: Callable[[Path], Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []

    @contextlib.contextmanager
    def verify_meanwhile(models: Mapping[Path, Any], images: Any) -> Iterator[None]:
        checked.extend(models)
        yield

    monkeypatch.setattr(models_module, "verify_meanwhile", verify_meanwhile)
    best = models_at(tmp_path / "study" / "best.keras")
    own = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(10, activation=peak)])
    with best.rehearse_saving([finished, own]):
        pass
    assert [path.name for path in checked] == ["1.keras"]  # the other has nothing that another process might not know
    assert not (tmp_path / "study").exists()
    assert best.is_verified  # there is nothing to verify


def test_a_model_that_a_killed_run_left_is_verified_by_the_next(
    saved: Path, few: Dataset, models_at: Callable[[Path], Models], compared: list[Any]
) -> None:
    best = models_at(saved)
    before = best.is_verified
    best.verify()
    assert (before, best.is_verified) == (False, True)
    assert compared[0].shape == (16, few.num_classes)
    assert read_card(saved)["verified"] is True


def test_a_calibrated_model_is_compared_with_the_trained_network(
    tmp_path: Path,
    few: Dataset,
    finished: Any,
    models_at: Callable[[Path], Models],
    keep: Callable[..., None],
    ranks: Ranks,
    compared: list[Any],
) -> None:
    best = models_at(tmp_path / "studies" / "mine" / "best.keras")
    keep(best, 2, 0.5)
    ranks.ended = ranks.best = [2]
    best.tidy()
    best.examine()
    best.verify()
    images = few.validation.images[:16]
    trained, temperature = finished.predict(images, verbose=0), read_card(best.path)["calibration"]["temperature"]
    np.testing.assert_array_equal(compared[0], temper(trained, temperature))
    saved = keras.models.load_model(best.path).predict(images, verbose=0)
    np.testing.assert_allclose(saved, compared[0], atol=1e-4)
    assert np.abs(saved - trained).max() > 1e-3


def test_predictions_that_somebody_asked_for_before_the_end_do_not_keep_a_model_from_being_calibrated(
    saved: Path, few: Dataset, models_at: Callable[[Path], Models]
) -> None:
    best, target = models_at(saved), Workspace(saved.parent.parent).predictions("mine", "validation")
    early = predict_part(saved, few, "validation", target)
    best.examine()
    predictions, card = read_predictions(target, read_card(saved)["sha256"]), read_card(saved)
    assert predictions is not None
    assert "calibration" in card
    assert np.abs(predictions.probabilities - early.probabilities).max() > 1e-3
    assert predictions.names == early.names


def test_a_trial_that_another_process_has_trained_on_is_not_compared_with_what_it_was(
    tmp_path: Path,
    few: Dataset,
    finished: Any,
    models_at: Callable[[Path], Models],
    keep: Callable[..., None],
    ranks: Ranks,
    compared: list[Any],
) -> None:
    first, second = (models_at(tmp_path / "studies" / "mine" / "best.keras") for _ in range(2))
    ranks.ended = ranks.best = [2]
    keep(first, 2, 0.5)
    before = finished.get_weights()
    try:
        finished.set_weights([-weights for weights in before])
        keep(second, 2, 0.75)
        expected = finished.predict(few.validation.images[:16], verbose=0)
    finally:
        finished.set_weights(before)  # other tests need it
    first.tidy()
    first.verify()
    np.testing.assert_allclose(compared[0], expected, atol=1e-6)


def test_a_calibrated_model_stays_until_a_better_one_comes(
    tmp_path: Path, few: Dataset, models_at: Callable[[Path], Models], keep: Callable[..., None], ranks: Ranks
) -> None:
    """Tidying does not take it for a damaged copy of the trial's network; a new network is calibrated again."""
    best = models_at(tmp_path / "studies" / "mine" / "best.keras")
    keep(best, 2, 0.5)
    ranks.ended = ranks.best = [2]
    best.tidy()
    assert best.path.read_bytes() == best.get_file(2).read_bytes()
    best.examine()
    calibrated = best.path.read_bytes()
    assert calibrated != best.get_file(2).read_bytes()
    assert read_card(best.path)["calibration"]["images"] == len(few.validation)
    models_at(best.path).tidy()
    best.examine()
    assert best.path.read_bytes() == calibrated
    keep(best, 3, 0.6)
    ranks.ended, ranks.best = [2, 3], [3, 2]
    best.tidy()
    assert "calibration" not in read_card(best.path)
    best.examine()
    assert read_card(best.path)["calibration"]["of"] == read_card(best.get_file(3))["sha256"]


def test_with_little_time_a_sample_of_the_validation_images_is_classified(
    saved: Path, few: Dataset, models_at: Callable[[Path], Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "PREDICTED", 40)
    monkeypatch.setattr(models_module, "LEAST_SECONDS", 0.0)
    best = models_at(saved)
    best.examine(seconds_left=0.0)
    predictions = read_predictions(
        Workspace(saved.parent.parent).predictions("mine", "validation"), read_card(saved)["sha256"]
    )
    assert predictions is not None
    assert len(set(predictions.names)) == 40
    labels = dict(zip(few.validation.names, few.validation.labels, strict=True))
    assert predictions.labels.tolist() == [labels[name] for name in predictions.names]


def test_export(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "digits.keras"
    export_model(saved, target)
    assert target.read_bytes() == saved.read_bytes()
    assert read_card(target) == read_card(saved)
    assert sorted(path.name for path in target.parent.iterdir()) == ["digits.json", "digits.keras"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("model.h5", r"model.h5: the name of a Keras model must end in .keras, such as model.keras"),
        ("model", r"must end in .keras, such as model.keras"),
        ("none/model.keras", r"none: no such folder"),
        ("studies/test/best.keras", r"is the study's own model; name another file"),
    ],
)
def test_export_to_a_bad_place(saved: Path, tmp_path: Path, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export_model(saved, tmp_path / target)
    assert read_card(saved)["study"] == "test"


def test_export_that_cannot_write_leaves_nothing(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "verify", lambda *_: None)
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(UsageError, match=r"folder.keras: cannot be written: "):
        export_model(saved, tmp_path / "folder.keras")
    assert not [path for path in tmp_path.iterdir() if str(os.getpid()) in path.name]


def test_export_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        export_model(tmp_path / "best.keras", tmp_path / "copy.keras")


@pytest.mark.slow
def test_a_format_is_one_entry(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written, run as its users do, compared and has a card."""

    def write(source: Path, target: Path) -> None:
        with zipfile.ZipFile(target, "w") as archive:
            archive.write(source, "model.keras")

    script = """
import sys, zipfile, numpy, keras
zipfile.ZipFile(sys.argv[2]).extractall()
numpy.save(sys.argv[3], keras.models.load_model("model.keras").predict(numpy.load(sys.argv[1]), verbose=0))
"""
    zipped = formats.Format(".zip", "a zipped model", write, script, "cannot be unzipped: {}")
    monkeypatch.setattr(formats, "FORMATS", [formats.KERAS, zipped])
    export_model(saved, tmp_path / "out.zip")
    assert read_card(tmp_path / "out.zip")["study"] == read_card(saved)["study"]
    with pytest.raises(UsageError, match=r"a Keras model must end in .keras or a zipped model must end in .zip, such"):
        export_model(saved, tmp_path / "out.onnx")
    wrong = replace(zipped, script=script.replace("numpy.load(sys.argv[1])", "0 * numpy.load(sys.argv[1])"))
    monkeypatch.setattr(formats, "FORMATS", [wrong])
    with pytest.raises(StudyFailedError, match="predictions differ"):
        export_model(saved, tmp_path / "wrong.zip")
    assert not (tmp_path / "wrong.zip").exists()


def test_export_while_a_better_model_is_saved(
    saved: Path, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_replace(path: Path) -> Any:
        card = read_card(path)
        save_model(saved, make_classifier(keras.models.clone_model(network), SHAPE), {"study": "better"})
        return card

    monkeypatch.setattr(export_module, "read_card", read_and_replace)
    with pytest.raises(StoreError, match="has been replaced by a better model; export it again"):
        export_model(saved, tmp_path / "copy.keras")
    assert not list(tmp_path.glob("*copy*"))


def test_a_card_is_json_for_people(saved: Path) -> None:
    text = saved.with_suffix(".json").read_text()
    assert text.endswith("}\n")
    assert len(text.splitlines()) > len(json.loads(text))


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_model_that_is_replaced_while_it_is_verified_is_left_to_the_other_process(
    saved: Path,
    finished: Any,
    models_at: Callable[[Path], Models],
    monkeypatch: pytest.MonkeyPatch,
    is_replaced: bool,
) -> None:
    def differ(*_: Any) -> None:
        if is_replaced:
            save_model(saved, finished, {"trial": 7})
        raise StudyFailedError("the predictions differ")

    monkeypatch.setattr(models_module, "verify", differ)
    with contextlib.nullcontext() if is_replaced else pytest.raises(StudyFailedError, match="differ"):
        models_at(saved).verify()
    assert "verified" not in read_card(saved)


def test_predictions_of_images_that_are_not_in_memory(
    finished: Any, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = export_module.predict(finished, few.validation.images)
    np.save(tmp_path / "images.npy", few.validation.images)
    monkeypatch.setattr(export_module, "SLICE", 40)  # the last part is smaller
    mapped = export_module.predict(finished, np.load(tmp_path / "images.npy", mmap_mode="r"))
    np.testing.assert_allclose(mapped, expected, rtol=1e-5, atol=1e-6)
