"""Inception networks: modules of parallel convolutions of several sizes, GoogLeNet among them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras import Input, Model, initializers, layers

from searchcnn import SearchSpace
from searchcnn.blocks import convolve, drop

PATHS = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
"""Convolutions of a module, named as in the paper's table 1."""

GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of each path of GoogLeNet's modules, from the paper's table 1; 3 to 5 are its stages."""

KNOWN: dict[str, dict[str, Any]] = {
    "inception_320k": {"width": 64},
    "inception_18k": {"stem_stride": 1, "stages": 2, "growth": 1.0, "modules_4": 1},
    "inception_205k": {"stages": 2, "modules_3": 2, "width": 64, "ratio_1x1": 0.25, "ratio_pool_proj": 0.5},
    "inception_195k": {"growth": 2.0, "ratio_5x5_reduce": 0.75},
    "inception_95k": {"stem_filters": 64, "ratio_5x5_reduce": 1.0},
    "inception_45k": {"stages": 2},
    "inception_40k": {"stages": 2, "modules_3": 2, "growth": 1.0, "ratio_1x1": 0.75},
    "inception_small": {
        "stem": "small",
        "stem_stride": 2,
        "widths": "ratios",
        "modules_3": 2,
        "modules_4": 3,
        "modules_5": 2,
    },
}
"""Points that did best on several data sets, the best first; `python -m benchmarks.known_points` has chosen them."""

LARGE = 64
"""Shorter side in pixels from which the stem of GoogLeNet, which divides it by eight, is the default."""


class Inception(SearchSpace):
    """Inception modules in two or three stages, with a max-pooling between them and softmax on the global average.

    The filters of a module's paths are either ratios of one width, which grows from stage to stage, or all free, each
    from an eighth of GoogLeNet's to GoogLeNet's. Up to two auxiliary heads sit in the middle stage. Every point is a
    valid network for images of any size: maps are padded, and an auxiliary head's window shrinks with its map.

    Reference: Szegedy et al. 2015, https://arxiv.org/abs/1409.4842.
    """

    reference = "Szegedy et al. 2015, https://arxiv.org/abs/1409.4842"

    def build(self, hp: Any) -> Model:
        """Builds the network; its first output is the main one, further ones are auxiliary heads."""
        batch_norm = hp.Choice("batch_norm", ["none", "before", "after"], default="before")
        start = choose_initializers(hp.Choice("initializer", ["he", "glorot"]))
        convolution = partial(convolve, batch_norm=batch_norm, **start)
        images = Input(self.input_shape)
        x = apply_stem(hp, images, convolution, "small" if min(self.input_shape[:2]) < LARGE else "imagenet")
        modules = apply_stages(hp, x, convolution)
        x = layers.GlobalAveragePooling2D()(list(modules.values())[-1])
        x = drop(x, hp.Float("dropout", 0.0, 0.6, step=0.2, default=0.2))
        features = [x, *add_auxiliary_heads(hp, modules, convolution, start)]
        outputs = [layers.Dense(self.num_classes, activation="softmax", dtype="float32")(x) for x in features]
        return Model(images, outputs if len(outputs) > 1 else outputs[0])

    def auxiliary_weight(self, hp: Any) -> float:
        """Asks for the weight of the auxiliary heads; GoogLeNet's 0.3 by default."""
        return float(hp.Float("auxiliary_weight", 0.05, 1.0, sampling="log", default=0.3))

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points that do well on many images, and GoogLeNet with and without its auxiliary heads."""
        return {
            **KNOWN,
            "googlenet": {**make_googlenet(), "auxiliary_heads": True, "auxiliary_units": 1024},
            "googlenet_without_heads": {**make_googlenet(), "auxiliary_heads": False},
        }


def make_googlenet() -> dict[str, Any]:
    """Returns the hyperparameters of GoogLeNet without its auxiliary heads and its local response normalisation."""
    start = {"batch_norm": "none", "initializer": "glorot", "stem": "imagenet", "stem_filters": 64}
    depth = {"stages": 3, "modules_3": 2, "modules_4": 5, "modules_5": 2}
    filters = {f"filters_{m}_{path}": n for m, row in GOOGLENET.items() for path, n in zip(PATHS, row, strict=True)}
    return {**start, **depth, "widths": "free", **filters, "dropout": 0.4}


def choose_initializers(kind: str) -> dict[str, Any]:
    """Returns initializers as arguments of a layer.

    Args:
        kind: "he" for He's kernels and biases of 0; "glorot" for Glorot's uniform kernels and biases of 0.2, as in
            Caffe's GoogLeNet (https://github.com/BVLC/caffe/tree/master/models/bvlc_googlenet).
    """
    if kind == "he":
        return {"kernel_initializer": "he_normal"}
    return {"kernel_initializer": "glorot_uniform", "bias_initializer": initializers.Constant(0.2)}


def apply_stem(hp: Any, x: Any, convolution: Callable[..., Any], default: str) -> Any:
    """Applies the layers before the first module.

    Args:
        hp: The hyperparameters.
        x: Images, shape (batch, height, width, channels).
        convolution: Applies a convolution.
        default: Kind of stem by default: "imagenet", which divides both sides by eight, or "small", by one or two.

    Returns:
        Feature maps.
    """
    kind = hp.Choice("stem", ["small", "imagenet"], default=default)
    filters = hp.Int("stem_filters", 16, 64, step=2, sampling="log", default=32)
    if kind == "small":
        return convolution(x, filters, 3, stride=hp.Choice("stem_stride", [1, 2], default=2))
    x = shrink(convolution(x, filters, 7, stride=2))
    x = convolution(x, filters, 1)
    return shrink(convolution(x, 3 * filters, 3))


def shrink(x: Any) -> Any:
    """Halves both axes with overlapping max-pooling, rounding up."""
    return layers.MaxPooling2D(3, 2, "same")(x)


def apply_stages(hp: Any, x: Any, convolution: Callable[..., Any]) -> dict[str, Any]:
    """Applies the modules.

    Args:
        hp: The hyperparameters.
        x: Feature maps.
        convolution: Applies a convolution.

    Returns:
        Feature maps after each module, by its name, "3a" and so on, in order.
    """
    widths = {"ratios": ask_ratio_filters, "free": ask_free_filters}[hp.Choice("widths", ["ratios", "free"])]
    modules: dict[str, Any] = {}
    for stage in range(3, 3 + hp.Int("stages", 2, 3, default=3)):
        x = shrink(x) if stage > 3 else x
        names = [name for name in GOOGLENET if name.startswith(str(stage))]
        for name in names[: hp.Int(f"modules_{stage}", 1, len(names), default=len(names) // 2)]:
            x = modules[name] = apply_module(x, widths(hp, name), convolution, f"inception_{name}")
    return modules


def ask_ratio_filters(hp: Any, module: str) -> dict[str, int]:
    """Returns the filters of a module's `PATHS` as ratios of the 3x3 path; reductions are ratios of the next layer.

    Even at the smallest width, each step of a ratio gives a different number of filters.
    """
    ratio = partial(hp.Float, min_value=0.25, max_value=1.0, step=0.25, default=0.5)
    narrow = partial(hp.Float, min_value=0.25, max_value=0.5, step=0.125, default=0.25)
    growth = hp.Float("growth", 1.0, 2.0, step=0.25, default=1.5)
    conv3 = hp.Int("width", 16, 128, step=2, sampling="log", default=32) * growth ** (int(module[0]) - 3)
    conv5 = conv3 * narrow("ratio_5x5")
    filters = {
        "1x1": conv3 * ratio("ratio_1x1"),
        "3x3_reduce": conv3 * ratio("ratio_3x3_reduce"),
        "3x3": conv3,
        "5x5_reduce": conv5 * ratio("ratio_5x5_reduce"),
        "5x5": conv5,
        "pool_proj": conv3 * narrow("ratio_pool_proj"),
    }
    return {path: round(number) for path, number in filters.items()}


def ask_free_filters(hp: Any, module: str) -> dict[str, int]:
    """Returns the filters of a module's `PATHS`, each with a hyperparameter of its own."""
    return {
        path: hp.Int(f"filters_{module}_{path}", most // 8, most, sampling="log", default=most // 4)
        for path, most in zip(PATHS, GOOGLENET[module], strict=True)
    }


def apply_module(x: Any, filters: dict[str, int], convolution: Callable[..., Any], name: str) -> Any:
    """Applies one Inception module.

    Args:
        x: Feature maps, shape (batch, height, width, channels).
        filters: Number of filters of each of its `PATHS`.
        convolution: Applies a convolution.
        name: Prefix of the names of its layers.

    Returns:
        Feature maps, shape (batch, height, width, filters of the four paths together).
    """

    def conv(x: Any, path: str, kernel: int) -> Any:
        return convolution(x, filters[path], kernel, name=f"{name}_{path}")

    paths = [
        conv(x, "1x1", 1),
        conv(conv(x, "3x3_reduce", 1), "3x3", 3),
        conv(conv(x, "5x5_reduce", 1), "5x5", 5),
        conv(layers.MaxPooling2D(3, 1, "same")(x), "pool_proj", 1),
    ]
    return layers.Concatenate(name=name)(paths)


def add_auxiliary_heads(
    hp: Any, modules: dict[str, Any], convolution: Callable[..., Any], start: dict[str, Any]
) -> list[Any]:
    """Returns the features for the softmax layers of the auxiliary heads, if there are any.

    The heads follow the first and the last but one module of stage 4, like GoogLeNet's 4a and 4d. With one or two
    modules these are the same, and there is only one head.

    Args:
        hp: The hyperparameters.
        modules: Feature maps after each module, by its name.
        convolution: Applies a convolution.
        start: Initializers of dense layers.

    Returns:
        Features of each head, shape (batch, units).
    """
    if not hp.Boolean("auxiliary_heads"):
        return []
    units = hp.Int("auxiliary_units", 64, 1024, step=2, sampling="log", default=256)
    middle = [x for name, x in modules.items() if name.startswith("4")]
    return [
        apply_auxiliary_head(x, units, convolution, start)
        for x in (middle[:1] if len(middle) < 3 else [middle[0], middle[-2]])
    ]


def apply_auxiliary_head(x: Any, units: int, convolution: Callable[..., Any], start: dict[str, Any]) -> Any:
    """Turns feature maps into the features of an auxiliary head's softmax layer.

    On maps below 16 pixels the window is GoogLeNet's, 5 pixels wide every 3 pixels. On larger ones it grows, so that
    there are never more than GoogLeNet's 4x4 positions, each of which costs weights in the dense layer.

    Args:
        x: Feature maps, shape (batch, height, width, channels).
        units: Size of the dense layer; the convolution before it has an eighth of that, as in GoogLeNet.
        convolution: Applies a convolution.
        start: Initializers of the dense layer.

    Returns:
        Features, shape (batch, units).
    """
    strides = [max(3, side // 4) for side in x.shape[1:3]]
    window = [min(stride + 2, side) for stride, side in zip(strides, x.shape[1:3], strict=True)]
    x = layers.AveragePooling2D(window, strides)(x)
    x = layers.Flatten()(convolution(x, units // 8, 1))
    x = layers.Dense(units, activation="relu", **start)(x)
    return drop(x, 0.7)
