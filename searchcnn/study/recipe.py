"""How one network is trained: the settings that a study fixes or searches, each of them declared once, here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final, Literal, Protocol, Self

from searchcnn.augmentation import PLAIN, Augmentation
from searchcnn.settings import Setting, list_settings
from searchcnn.study.values import NormalizationName, OptimizerName, PrecisionName, Range, ScheduleName

SOLVER = "lbfgs"
"""Name of the optimizer of a network of which only the last layer is trained, by a solver."""
NO_CHANGE: Final = Augmentation()
"""Training images stay as they are."""


class Phase(Protocol):
    """What a recipe has to know about a phase of training; see `searchcnn.spaces.Phase`."""

    @property
    def share(self) -> float:
        """Its share of the epochs."""

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by."""


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    A further setting is one more field here; a further change of images is one of `Augmentation`. The keys of the study
    file, their documentation and bounds, and what is sampled follow. Settings of the optimizer are asked for after all
    others; but for that, in this order.

    Attributes:
        epochs: Maximum number of passes over the training images.
        patience: Epochs without a better objective before training stops.
        optimizer: Name of the optimizer; empty where the builder has compiled the model itself.
        augmentation: How training images are changed at random.
        pixels: Those that the network was made for, where it scales them itself; None where it does not.
    """

    epochs: int
    patience: int
    batch_size: Annotated[
        int,
        Setting(
            "Images per step.",
            at_least=1,
            auto="auto: 128 with 20,000 training images or more, 64 with 5,000, 32 with 1,000, else 16; "
            "64 at most where the builder compiles the network.",
        ),
    ]
    optimizer: Annotated[
        str,
        Setting(
            "muon (momentum whose updates of kernels are made orthogonal; AdamW for the other weights), adam, adamw, "
            "sgd, rmsprop, nadam, lion, adagrad or adamax.",
            "muon",
            concerns="optimizer",
            type=OptimizerName,
        ),
    ] = ""
    momentum: Annotated[
        float,
        Setting(
            "Momentum of `sgd` (Nesterov's) and `rmsprop`.",
            0.9,
            concerns="optimizer",
            optimizers=("sgd", "rmsprop"),
            at_least=0,
            below=1,
        ),
    ] = 0.0
    learning_rate: Annotated[
        float,
        Setting(
            "Learning rate; the peak where a schedule changes it.",
            Range(min=5e-3, max=5e-2, log=True),
            concerns="optimizer",
            above=0,
        ),
    ] = 0.0
    schedule: Annotated[
        ScheduleName,
        Setting(
            "constant; linear (up for 15 % of `epochs`, or of each stretch that a plan trains a network in, then down "
            "to zero); cosine (down to zero); one_cycle (up for 30 %, then cosine); step (a tenth after half and again "
            "after three quarters of `epochs`); plateau (half after each two epochs without a better objective).",
            "linear",
            concerns="optimizer",
        ),
    ] = "constant"
    weight_decay: Annotated[
        float, Setting("Decoupled weight decay of the optimizer.", 0.05, concerns="optimizer", at_least=0)
    ] = 0.0
    l1: Annotated[float, Setting("L1 penalty on convolution and dense kernels.", concerns="optimizer", at_least=0)] = (
        0.0
    )
    l2: Annotated[float, Setting("L2 penalty on convolution and dense kernels.", concerns="optimizer", at_least=0)] = (
        0.0
    )
    label_smoothing: Annotated[
        float,
        Setting(
            "Fraction of each label that is spread over the other classes.",
            0.05,
            concerns="optimizer",
            at_least=0,
            below=1,
        ),
    ] = 0.0
    augmentation: Augmentation = NO_CHANGE
    normalization: Annotated[
        NormalizationName,
        Setting(
            "What is done to pixels before the network, as part of the saved model: `none` (they stay 0..255), `scale` "
            "(to 0..1), `standardize` (then to mean 0 and variance 1 in each channel), `zca` (then whitened, so that "
            "neighbouring pixels are uncorrelated). Computed from training images.",
            concerns="images",
            since="0.1.0",
            auto=f"auto: `standardize` {PLAIN}, else `scale`.",
        ),
    ] = "scale"
    precision: Annotated[
        PrecisionName,
        Setting(
            "What training steps compute with: float32; mixed_bfloat16 (numbers of 16 bits, but weights of 32); auto "
            "(the faster of the two on the machine at hand). Validation and the saved model always take float32.",
            "auto",
            concerns="optimizer",
            since="0.1.0",
        ),
    ] = "float32"
    pixels: Literal["0..1", "0..255"] | None = None
    class_weights: Annotated[
        bool,
        Setting(
            "Weigh training images so that each class counts the same in the loss, however few images it has.",
            concerns="images",
            since="0.1.0",
        ),
    ] = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the recipe of values by name, those of the augmentation among them; the reverse of `to_dict`."""
        changes = {name: value for name, value in values.items() if name in CHANGES}
        others = {name: value for name, value in values.items() if name not in CHANGES}
        return cls(**others, augmentation=Augmentation(**changes))

    def to_dict(self) -> dict[str, Any]:
        """Returns all values by name, those of the augmentation among them, as model cards have them."""
        values = asdict(self)
        changes = values.pop("augmentation")
        return {**values, **changes}

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
        """Returns the recipe for images that must no longer be changed at random."""
        return replace(self, augmentation=NO_CHANGE)


CHANGES: Final = list_settings(Augmentation)
"""Settings that change training images at random, by name."""
SETTINGS: Final = list_settings(Recipe)
"""All settings that a study may search, by name."""
