"""A search as Optuna's tutorials write it: TPE, the median pruner, early stopping."""

from typing import Any

import keras
import optuna
from common import BATCH, END, EPOCHS, MODEL, SECONDS, SEED, Record, build, count_seconds, is_over, read_part

RECORD = Record()


class Hyperparameters:
    """An Optuna trial with the names of Keras Tuner."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def Int(self, name: str, low: int, high: int, step: int = 1) -> int:  # noqa: N802
        return self.trial.suggest_int(name, low, high, step=step)

    def Choice(self, name: str, values: list[Any]) -> Any:  # noqa: N802
        return self.trial.suggest_categorical(name, values)

    def Boolean(self, name: str) -> Any:  # noqa: N802
        return self.trial.suggest_categorical(name, [False, True])

    def Float(self, name: str, low: float, high: float, step: float | None = None, sampling: str = "") -> float:  # noqa: N802
        return self.trial.suggest_float(name, low, high, step=step, log=sampling == "log")


class Reporter(keras.callbacks.Callback):
    """Reports epochs, keeps the best model, and ends trials that are pruned or out of time."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial, self.is_pruned = trial, False

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.stop_training |= is_over()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        score = (logs or {})["val_accuracy"]
        if RECORD.note(score):
            self.model.save(MODEL)
        self.trial.report(score, epoch)
        self.is_pruned = self.trial.should_prune()
        self.model.stop_training |= self.is_pruned


def main() -> None:
    keras.utils.set_random_seed(SEED)
    train, validation = read_part("train"), read_part("validation")
    shape, classes = train[0].shape[1:], int(train[1].max()) + 1

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        model, reporter = build(Hyperparameters(trial), shape, classes), Reporter(trial)
        stopping = keras.callbacks.EarlyStopping("val_accuracy", patience=2, mode="max")
        callbacks = [reporter, stopping]
        history = model.fit(
            *train, validation_data=validation, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=callbacks
        )
        if reporter.is_pruned:
            raise optuna.TrialPruned
        return max(history.history["val_accuracy"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED), pruner=pruner)
    study.optimize(objective, timeout=END * SECONDS - count_seconds())
    RECORD.write(trials=len(study.trials))


if __name__ == "__main__":
    main()
