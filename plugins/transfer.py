"""Pretrained backbones: where they are cut, the head on top, and how deep they are unfrozen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from keras import Input, Model, layers

from searchcnn import Phase, SearchSpace
from searchcnn.backbones import UNFROZEN, Backbone, Preprocessing, is_file, is_for_any_size, unfreeze
from searchcnn.blocks import convolve, dense, drop

SIZE = 224
"""Side in pixels of the square images that most pretrained networks were trained on."""
HEAD_SHARE = 0.3
"""Fraction of the epochs of fine-tuning for which a head with layers is trained alone beforehand."""
LINEAR_CUT = 2
"""Maximum number of last blocks that are cut off if only softmax layers are tried: earlier features are worse. Those of
EfficientNet-Lite0 gave 0.9035, 0.9035 and 0.8872 on photos of flowers with 0, 1 and 2 blocks cut off."""
STEP = 8
"""Sides of images that are not square are multiples of this number of pixels."""
SMALLEST = 32
"""Shortest side in pixels that the networks of ``keras.applications`` accept."""


class Transfer(SearchSpace):
    """A backbone that was trained on other images, and a new head.

    The search covers how many of its last blocks are cut off, the pooling, the head's layers, and how many blocks are
    trained with the head. A softmax layer on fixed features is solved, which finds its optimum at once. From there,
    blocks are trained at a lower rate (Kumar et al. 2022, https://arxiv.org/abs/2202.10054). Frozen layers, and all
    batch normalisation of a pretrained backbone, stay in inference mode. Preprocessing and resizing are part of the
    network.

    Reference: Yosinski et al. 2014, https://arxiv.org/abs/1411.1792.

    Args:
        backbones: Names in ``keras.applications``, with arguments if needed, as in ``MobileNet(alpha=0.25)``;
            ``EfficientNetLite0``, whose weights are installed with searchcnn; or ``.keras`` files of any network that
            takes one image.
        weights: "imagenet" (installed, or downloaded once), the path of a weights file, or "none" to train the whole
            network from scratch.
        image_sizes: Sides in pixels of the squares to which images are resized before they enter the backbone, unless a
            ``.keras`` file has a size of its own. Images that are not square get about as many pixels as the square.
        preprocessing: The preprocessing for ``.keras`` files that do not do it themselves: "raw", "scale", "tf",
            "torch", "caffe", or numbers such as ``{mean = 127, std = 128}``; by file, if they differ.
        linear: Whether to try only softmax layers on features: they are all solved, and nothing is trained by steps.
        fine_tuning: Fraction of the study's epochs for which blocks are trained, 0..1.
    """

    channels = (1, 3)
    own_preprocessing = True
    reference = "Yosinski et al. 2014, https://arxiv.org/abs/1411.1792"

    def __init__(
        self,
        backbones: Sequence[str] = ("EfficientNetLite0",),
        weights: str = "imagenet",
        image_sizes: Sequence[int] = (160, SIZE),
        preprocessing: str | Mapping[str, Any] | None = None,
        linear: bool = False,
        fine_tuning: float = 1.0,
    ) -> None:
        super().__init__()
        self.backbones = [backbones] if isinstance(backbones, str) else list(backbones)
        self.weights = weights
        self.is_pretrained = weights != "none"
        self.image_sizes = list(image_sizes)
        self.preprocessing = self._assign_preprocessing(preprocessing)
        self.linear = linear
        self.fine_tuning = fine_tuning
        self._check()

    def files(self) -> list[Path]:
        """Returns the files that weights are loaded from."""
        weights = [] if self.weights in ("imagenet", "none") else [self.weights]
        return [Path(name).expanduser() for name in [*weights, *filter(is_file, self.backbones)]]

    def build(self, hp: Any) -> Model:
        """Builds the network; see the class."""
        backbone = self.ask_backbone(hp)
        images = Input(self.input_shape)
        x = backbone.preprocess(images)
        frozen, unfrozen = self.ask_division(hp, backbone)
        x = x if frozen is None else frozen(x, training=False)
        x = x if unfrozen is None else unfrozen(x)
        x = pool(hp, x) if self.linear else apply_head(hp, x, dropout=unfrozen is not None)
        return Model(images, layers.Dense(self.num_classes, activation="softmax", dtype="float32")(x))

    def initialize(self, hp: Any, model: Model) -> None:
        """Loads the backbone's weights."""
        if not self.is_pretrained:
            return
        for part in self.ask_division(hp, self.ask_backbone(hp, self.weights)):
            if part is not None:
                model.get_layer(part.name).set_weights(part.get_weights())

    def prepare(self) -> None:
        """Loads all weights once."""
        for name in self.backbones if self.is_pretrained else ():
            Backbone.load(name, self.image_sizes[0], self.weights, self.preprocessing.get(name))

    def phases(self, hp: Any, model: Model) -> Iterator[Phase]:
        """Solves the head, or trains it if it has layers; then trains the unfrozen blocks with it."""
        names = [layer.name for layer in model.layers]
        if not self.is_pretrained:
            yield Phase()
            return
        is_solved = self.linear or is_linear(hp)
        unfrozen = model.get_layer(UNFROZEN) if UNFROZEN in names else None
        if unfrozen is None:
            yield Phase(is_solved=is_solved)
            return
        unfrozen.trainable = False
        yield Phase(share=HEAD_SHARE * self.fine_tuning, is_solved=is_solved)
        unfreeze(unfrozen)
        rate = hp.Float("fine_tuning_rate", 0.01, 1.0, sampling="log", default=0.05)
        yield Phase(share=self.fine_tuning, rate=rate)

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns a softmax layer on features at each size, then the same with trained blocks, the best one first."""
        if not self.is_pretrained:
            return {}
        pairs = [(name, size) for name in self.backbones for size in self._list_sizes(name)]
        points = {self._make_title("features", *pair): self._make_point(*pair, fine_tune=False) for pair in pairs}
        if not self.linear:
            points |= {
                self._make_title("fine_tuned", *pair): self._make_point(*pair, fine_tune=True) for pair in pairs[::-1]
            }
        return points | (self._make_bird_points() if "ResNet50" in self.backbones and not self.linear else {})

    def _list_sizes(self, name: str) -> Sequence[int]:
        return self.image_sizes if is_for_any_size(name) else [0]

    def _make_bird_points(self) -> dict[str, dict[str, Any]]:
        """Returns a whole ResNet50, and its features, with the heads that were tried on 200 species of birds."""
        features = self._make_point("ResNet50", SIZE, fine_tune=False)
        whole = self._make_point("ResNet50", SIZE, fine_tune=True, unfrozen_blocks=17)
        wide = {"dense_layers": 1, "dense_1": 1024, "head_dropout": 0.0}
        convolution = {"head_convolution": True, "head_filters": 64, "convolution_dropout": 0.2}
        return {
            "resnet50_features": features,
            "resnet50_features_dense": {**features, **wide},
            "resnet50_features_dropout": {**features, **wide, "head_dropout": 0.75},
            "resnet50_finetune": {**whole, "head_dropout": 0.0},
            "resnet50_finetune_dense": {**whole, **wide},
            "resnet50_finetune_convolution": {**whole, **wide, **convolution, "head_dropout": 0.4},
        }

    def _check(self) -> None:
        named = [name for name in self.backbones if not is_file(name)]
        if not self.backbones or not self.image_sizes:
            raise ValueError("backbones and image_sizes must name at least one each")
        if self.weights not in ("imagenet", "none") and len(named) > 1:
            raise ValueError(f"weights '{self.weights}' fit one backbone, not {' and '.join(named)}; name one")
        if self.weights == "none" and self.linear:
            raise ValueError("linear heads need pretrained features: omit either weights = 'none' or linear")
        if not 0 < self.fine_tuning <= 1:
            raise ValueError(
                f"fine_tuning must be a fraction of the epochs, above 0 and up to 1, not {self.fine_tuning}"
            )
        if self.weights == "none" and len(named) < len(self.backbones):
            raise ValueError("a .keras file has its own weights: omit either weights = 'none' or the file")
        for name, preprocessing in self.preprocessing.items():
            if not is_file(name) or name not in self.backbones:
                raise ValueError(f"preprocessing is for .keras files among the backbones, not for {name}")
            Preprocessing.read(preprocessing)

    def _assign_preprocessing(self, preprocessing: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Returns the preprocessing of each file; one that does not name files is for all of them."""
        if isinstance(preprocessing, Mapping) and any(map(is_file, preprocessing)):
            return preprocessing
        files = [name for name in self.backbones if is_file(name)]
        return {} if preprocessing is None else dict.fromkeys(files or self.backbones, preprocessing)

    def ask_backbone(self, hp: Any, weights: str = "none") -> Backbone:
        """Asks for the backbone.

        Args:
            hp: The hyperparameters.
            weights: See the constructor.
        """
        name = self._ask_name(hp)
        several = len(self._list_sizes(name)) > 1
        side = hp.Choice("image_size", self.image_sizes) if several else self.image_sizes[0]
        return Backbone.load(name, compute_shape(self.input_shape, side), weights, self.preprocessing.get(name))

    def ask_division(self, hp: Any, backbone: Backbone) -> tuple[Model | None, Model | None]:
        """Asks where the backbone is cut off, and from which block on it is trained.

        Returns:
            The frozen part and the trained part; see `searchcnn.backbones.Backbone.divide`.
        """
        count = len(backbone.blocks)
        with self._open_scope(hp, self._ask_name(hp)):
            cut = hp.Int("cut_blocks", 0, LINEAR_CUT if self.linear else count // 2)
            if not self.is_pretrained:
                return backbone.divide(cut, count)
            if self.linear or not hp.Boolean("fine_tune"):
                return backbone.divide(cut, 0)
            unfrozen = hp.Int("unfrozen_blocks", 1, count, default=max(1, count // 2))
        return backbone.divide(cut, unfrozen)

    def _ask_name(self, hp: Any) -> str:
        name: str = hp.Choice("backbone", self.backbones) if len(self.backbones) > 1 else self.backbones[0]
        return name

    def _open_scope(self, hp: Any, name: str) -> AbstractContextManager[Any]:
        """Opens a name scope if there are several backbones, because their blocks differ."""
        return hp.name_scope(name) if len(self.backbones) > 1 else nullcontext()

    def _make_title(self, kind: str, name: str, size: int) -> str:
        """Returns the name of a point: its kind, with the backbone and the image size if there are several."""
        backbone = [Path(name).stem if is_file(name) else name] if len(self.backbones) > 1 else []
        return "_".join([kind, *backbone, *([str(size)] if len(self.image_sizes) > 1 and size else [])])

    def _make_point(self, name: str, size: int, fine_tune: bool, **blocks: Any) -> dict[str, Any]:
        """Returns the hyperparameters of a whole backbone with a softmax layer on average features."""
        blocks = blocks if self.linear else {"fine_tune": fine_tune, **blocks}
        if len(self.backbones) > 1:
            blocks = {"backbone": name} | {f"{name}/{key}": value for key, value in blocks.items()}
        sizes = {"image_size": size} if len(self.image_sizes) > 1 and size in self.image_sizes else {}
        softmax = {} if self.linear else {"head_convolution": False, "dense_layers": 0}
        return {**blocks, **sizes, **softmax, "pooling": "average"}


def compute_shape(input_shape: tuple[int, int, int], side: int) -> tuple[int, int]:
    """Returns the height and width of images that keep their shape and have about as many pixels as a square.

    >>> compute_shape((160, 160, 3), 224), compute_shape((64, 640, 3), 160)
    ((224, 224), (48, 504))

    Args:
        input_shape: Shape of the original images: (height, width, channels).
        side: Side of the square in pixels.
    """
    height, width, _ = input_shape
    if height == width:
        return side, side
    ratio = min(height, width) / max(height, width)
    short = max(SMALLEST, round(side * ratio**0.5 / STEP) * STEP)
    long = max(short, round(min(side / ratio**0.5, side**2 / short) / STEP) * STEP)
    return (short, long) if height < width else (long, short)


def apply_head(hp: Any, x: Any, dropout: bool) -> Any:
    """Turns feature maps into the features of the softmax layer.

    Args:
        hp: The hyperparameters.
        x: Feature maps, shape (batch, height, width, channels).
        dropout: Whether dropout precedes the softmax layer even if there is no dense layer.

    Returns:
        Features, shape (batch, units).
    """
    if hp.Boolean("head_convolution"):
        x = convolve(x, hp.Int("head_filters", 32, 256, step=2, sampling="log", default=64), 3, padding="valid")
        x = drop(x, hp.Float("convolution_dropout", 0.0, 0.8, step=0.05, default=0.2))
    x = pool(hp, x)
    units = [
        hp.Int(f"dense_{layer}", 64, 1024, step=2, sampling="log", default=256)
        for layer in range(1, ask_dense_layers(hp) + 1)
    ]
    rate = hp.Float("head_dropout", 0.0, 0.8, step=0.05, default=0.2) if units or dropout else 0.0
    return dense(x, units, "relu", rate)


def pool(hp: Any, x: Any) -> Any:
    """Turns feature maps, shape (batch, height, width, channels), into features, shape (batch, channels)."""
    kind = hp.Choice("pooling", ["average", "max"])
    return (layers.GlobalAveragePooling2D if kind == "average" else layers.GlobalMaxPooling2D)()(x)


def ask_dense_layers(hp: Any) -> int:
    """Asks for the number of dense layers before the softmax layer."""
    count: int = hp.Int("dense_layers", 0, 3)
    return count


def is_linear(hp: Any) -> bool:
    """Whether the head of a point is only a softmax layer."""
    return not (hp.Boolean("head_convolution") or ask_dense_layers(hp))
