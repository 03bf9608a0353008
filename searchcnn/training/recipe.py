"""The training recipe of one trial: each setting fixed by the study, or sampled."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from searchcnn.pixels import PixelRange
from searchcnn.spaces import Phase
from searchcnn.study import Range, TrainingConfig
from searchcnn.study.values import NormalizationName
from searchcnn.training.augmentation import Augmentation

SCOPE = "training"
"""Name scope of the recipe's hyperparameters."""
NORMALIZATIONS: Mapping[PixelRange, NormalizationName] = {"0..255": "none", "0..1": "scale"}
"""What makes pixels those that a network was made for."""
SOLVER = "lbfgs"
"""What stands for the optimizer of a network whose last layer alone is trained, by a solver."""
CHANGES = tuple(field.name for field in fields(Augmentation))
"""Settings that change training images at random."""


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Attributes:
        epochs: Most passes over the training images.
        patience: Epochs without a better objective before training stops.
        batch_size: Images per step.
        optimizer: Name of the optimizer; empty where the builder has compiled the model itself.
        learning_rate: The peak where the schedule changes it.
        momentum: Of `sgd` and `rmsprop`.
        schedule: Name of the learning rate's schedule.
        weight_decay: Decoupled weight decay.
        l1: L1 penalty on kernels.
        l2: L2 penalty on kernels.
        label_smoothing: Part of each label that is spread over the other classes.
        flip: Whether training images are mirrored, left to right, at random.
        shift: Largest random shift of training images along each axis, as a part of its side.
        rotation: Largest angle by which training images are rotated, in degrees.
        zoom: Largest relative change of the size of training images.
        contrast: Largest relative change of the contrast of training images.
        cutout: Side of the hidden square of training images, as a part of the shorter side.
        mixup: Parameter of the Beta distribution of an image's share in its blend with another; 0: none.
        normalization: What is done to pixels before the network.
        pixels: Those that the network was made for, where it scales them itself; None where it does not.
        class_weights: Whether all classes count the same in the loss.
    """

    epochs: int
    patience: int
    batch_size: int
    optimizer: str = ""
    learning_rate: float = 0.0
    momentum: float = 0.0
    schedule: str = "constant"
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    flip: bool = False
    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    normalization: NormalizationName = "scale"
    pixels: PixelRange | None = None
    class_weights: bool = False

    @property
    def augmentation(self) -> Augmentation:
        """What is done to training images at random."""
        return Augmentation(**{key: getattr(self, key) for key in CHANGES})

    @property
    def compiles(self) -> bool:
        """Whether the network is compiled with this recipe; not if its builder has compiled it."""
        return bool(self.optimizer)

    @property
    def is_solved(self) -> bool:
        """Whether a solver trains the network's last layer, and nothing else is trained."""
        return self.optimizer == SOLVER

    def during(self, phase: Phase, epochs_left: int) -> Self:
        """Returns the recipe of one phase of training."""
        epochs = min(max(1, round(phase.share * self.epochs)), epochs_left)
        return replace(self, epochs=epochs, learning_rate=phase.rate * self.learning_rate)

    def without_changes(self) -> Self:
        """Returns the recipe for images that are not to be changed at random any more."""
        return replace(self, **asdict(Augmentation()))


def sample_recipe(
    hp: Any, config: TrainingConfig, compiled: bool, pixels: PixelRange | None = None, is_solved: bool = False
) -> Recipe:
    """Asks for each setting that the study searches.

    Args:
        hp: Keras Tuner's hyperparameters.
        config: The study's `[training]`.
        compiled: Whether the builder compiled the model; then only what concerns the images is ours.
        pixels: Those that a network was made for which scales them itself; no other normalisation is asked for then.
        is_solved: Whether a solver trains the network's last layer, and nothing else is trained.
    """
    with hp.name_scope(SCOPE):
        if is_solved:
            return _solved(hp, config, pixels)
        images: dict[str, Any] = {
            "batch_size": int(_ask(hp, "batch_size", config.batch_size)),
            "flip": bool(_ask(hp, "flip", config.flip)),
            **{name: float(_ask(hp, name, getattr(config, name))) for name in CHANGES if name != "flip"},
            "normalization": NORMALIZATIONS[pixels] if pixels else _ask(hp, "normalization", config.normalization),
            "pixels": pixels,
            "class_weights": bool(_ask(hp, "class_weights", config.class_weights)),
        }
        if compiled:
            return Recipe(config.epochs, config.patience, **images)
        optimizer = str(_ask(hp, "optimizer", config.optimizer))
        momentum = float(_ask(hp, "momentum", config.momentum)) if optimizer in ("sgd", "rmsprop") else 0.0
        return Recipe(
            epochs=config.epochs,
            patience=config.patience,
            **images,
            optimizer=optimizer,
            learning_rate=float(_ask(hp, "learning_rate", config.learning_rate)),
            momentum=momentum,
            schedule=str(_ask(hp, "schedule", config.schedule)),
            weight_decay=float(_ask(hp, "weight_decay", config.weight_decay)),
            l1=float(_ask(hp, "l1", config.l1)),
            l2=float(_ask(hp, "l2", config.l2)),
            label_smoothing=float(_ask(hp, "label_smoothing", config.label_smoothing)),
        )


def _solved(hp: Any, config: TrainingConfig, pixels: PixelRange | None) -> Recipe:
    """Asks for the little that matters to a solver."""
    normalization = NORMALIZATIONS[pixels] if pixels else _ask(hp, "normalization", config.normalization)
    return Recipe(
        epochs=1,
        patience=1,
        batch_size=1,
        optimizer=SOLVER,
        normalization=normalization,
        pixels=pixels,
        class_weights=bool(_ask(hp, "class_weights", config.class_weights)),
    )


def _ask(hp: Any, name: str, setting: Any) -> Any:
    """Returns a fixed setting as it is, and asks ``hp`` for a searched one.

    Known good points of a search space are trained with the defaults: a list's first entry, a range's middle.
    """
    if isinstance(setting, list) and isinstance(setting[0], bool):
        return hp.Boolean(name, default=setting[0]) if len(set(setting)) > 1 else setting[0]
    if isinstance(setting, list):
        return hp.Choice(name, setting)
    if not isinstance(setting, Range):
        return setting
    ask, number = (hp.Int, round) if name == "batch_size" else (hp.Float, float)
    sampling = "log" if setting.log else "linear"
    return ask(name, setting.min, setting.max, step=setting.step, sampling=sampling, default=number(_middle(setting)))


def _middle(setting: Range) -> float:
    low, high, step = setting.min, setting.max, setting.step
    if setting.log:
        steps = math.log(high / low, step) // 2 if step else 0
        return low * step**steps if step else math.sqrt(low * high)
    return low + step * ((high - low) // step // 2) if step else (low + high) / 2
