"""Small residual networks, with and without batch normalisation."""

from dataclasses import dataclass
from typing import Any

from keras import Input, Model, layers

from searchcnn import SearchSpace
from searchcnn.blocks import activate, convolve, drop, pool

KNOWN: dict[str, dict[str, Any]] = {
    "residual_380k": {"pre_activation": True, "blocks_2": 2},
    "residual_220k": {"growth": 1.5, "blocks_2": 3},
    "residual_680k": {"stochastic_depth": 0.125, "blocks_2": 2, "blocks_3": 2},
    "residual_80k": {"filters": 16, "head_dropout": 0.0},
    "residual_320k": {"squeeze_excite": True, "stem_reduction": "stride"},
    "residual_340k": {"filters": 24, "blocks_3": 2, "head_dropout": 0.125},
    "residual_150k": {
        "pre_activation": True,
        "activation": "silu",
        "filters": 16,
        "stem_reduction": "none",
        "blocks_3": 2,
        "head_dropout": 0.125,
    },
    "bottleneck_80k": {"block": "bottleneck", "head_dropout": 0.0},
    "elu_80k": {"activation": "elu", "filters": 16},
}
"""Points that did best on several data sets, the best first; `python -m benchmarks.known_points` has chosen them."""
REDUCTION = 4
"""Factor by which a squeeze-and-excitation gate has fewer channels; the paper's 16 would leave narrow networks one."""


class Residual(SearchSpace):
    """A stem; stages of residual blocks, each on maps half as large as the last; global average pooling; softmax.

    Stages differ in width by a constant factor, and each begins with a strided block. A stem that halves the map saves
    three quarters of the work. Without batch normalisation the last convolution of each branch starts at zero, so that
    even a deep network begins as a shallow one and trains (Zhang et al. 2019).

    Reference: He et al. 2016, https://arxiv.org/abs/1512.03385;
    pre-activation: He et al. 2016, https://arxiv.org/abs/1603.05027;
    squeeze-and-excitation: Hu et al. 2018, https://arxiv.org/abs/1709.01507;
    stochastic depth: Huang et al. 2016, https://arxiv.org/abs/1603.09382;
    no normalisation: Zhang et al. 2019, https://arxiv.org/abs/1901.09321;
    separable convolutions: Chollet 2017, https://arxiv.org/abs/1610.02357.
    """

    reference = "He et al. 2016, https://arxiv.org/abs/1512.03385"

    def build(self, hp: Any) -> Model:
        """Builds the network; see the class."""
        style = ask_style(hp)
        filters = hp.Int("filters", 16, 64, step=8, default=32)
        images = Input(self.input_shape)
        x = apply_stem(hp, images, filters, style)
        x = apply_stages(hp, x, filters, style)
        x = layers.GlobalAveragePooling2D()(x)
        x = drop(x, hp.Float("head_dropout", 0.0, 0.5, step=0.125, default=0.25))
        return Model(images, layers.Dense(self.num_classes, activation="softmax", dtype="float32")(x))

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points that do well on many images, and the paper's network for CIFAR-10, with projections."""
        three = {"blocks_1": 3, "blocks_2": 3, "blocks_3": 3}
        return {
            **KNOWN,
            "resnet20": {**three, "filters": 16, "stem_reduction": "none", "head_dropout": 0.0},
        }


@dataclass(frozen=True)
class Style:
    """What all blocks of a network have in common.

    Attributes:
        bottleneck: Whether a branch is a 1x1, a 3x3 and a 1x1 convolution, the first two half as wide, instead of two
            3x3 convolutions.
        separable: Whether 3x3 convolutions are depthwise and pointwise ones.
        squeeze_excite: Whether a branch's channels are scaled by gates that depend on the whole map.
        batch_norm: Whether convolutions are normalised; otherwise they have biases.
        pre_activation: Whether blocks apply normalisation and activation before their convolutions instead of after.
        activation: Name of the activation.
    """

    bottleneck: bool
    separable: bool
    squeeze_excite: bool
    batch_norm: bool
    pre_activation: bool
    activation: str

    def activate(self, x: Any) -> Any:
        """Applies normalisation and activation; returns maps of the same shape."""
        return activate(x, "before" if self.batch_norm else "none", self.activation)

    def convolve(self, x: Any, filters: int, kernel: int, stride: int = 1, initializer: str = "he_normal") -> Any:
        """Applies a bare convolution; returns maps of shape (batch, height / stride, width / stride, filters)."""
        bias = not self.batch_norm
        if self.separable and kernel > 1:
            initializers = {"depthwise_initializer": "he_normal", "pointwise_initializer": initializer}
            return layers.SeparableConv2D(filters, kernel, stride, "same", use_bias=bias, **initializers)(x)
        return convolve(
            x, filters, kernel, stride=stride, activation="linear", use_bias=bias, kernel_initializer=initializer
        )

    def finish(self, x: Any) -> Any:
        """Normalises maps before they are added, unless the next block does; returns maps of the same shape."""
        late = self.batch_norm and not self.pre_activation
        return activate(x, "before" if late else "none", "linear")


def ask_style(hp: Any) -> Style:
    """Asks for what all blocks have in common."""
    return Style(
        bottleneck=hp.Choice("block", ["basic", "bottleneck"]) == "bottleneck",
        separable=hp.Choice("convolution", ["plain", "separable"]) == "separable",
        squeeze_excite=hp.Boolean("squeeze_excite"),
        batch_norm=hp.Boolean("batch_norm", default=True),
        pre_activation=hp.Boolean("pre_activation"),
        activation=hp.Choice("activation", ["relu", "elu", "silu"]),
    )


def apply_stem(hp: Any, x: Any, filters: int, style: Style) -> Any:
    """Applies the first convolution.

    Args:
        hp: The hyperparameters.
        x: Images, shape (batch, height, width, channels).
        filters: Number of output channels.
        style: What all blocks have in common.

    Returns:
        Feature maps, shape (batch, height, width, filters), or half as high and wide.
    """
    kernel = hp.Choice("stem_kernel", [3, 5, 7])
    reduction = hp.Choice("stem_reduction", ["none", "stride", "pool"], default="pool")
    stride = 2 if reduction == "stride" else 1
    x = convolve(x, filters, kernel, stride=stride, activation="linear", use_bias=not style.batch_norm)
    if not style.pre_activation:
        x = style.activate(x)
    return pool(x, "max") if reduction == "pool" else x


def apply_stages(hp: Any, x: Any, filters: int, style: Style) -> Any:
    """Applies the residual blocks; their probability of being skipped grows linearly with depth.

    Args:
        hp: The hyperparameters.
        x: Feature maps, shape (batch, height, width, filters).
        filters: Channels of the first stage.
        style: What all blocks have in common.

    Returns:
        Feature maps, shape (batch, new height, new width, filters of the last stage).
    """
    growth = hp.Choice("growth", [1.5, 2.0], default=2.0)
    drop_rate = hp.Float("stochastic_depth", 0.0, 0.5, step=0.125)
    last = hp.Int("stages", 2, 4, default=3)
    blocks = [hp.Int(f"blocks_{stage}", 1, 3) for stage in range(1, last + 1)]
    strides = [1 if stage == 0 or block else 2 for stage, count in enumerate(blocks) for block in range(count)]
    widths = [8 * round(filters * growth**stage / 8) for stage, count in enumerate(blocks) for _ in range(count)]
    for depth, (stride, width) in enumerate(zip(strides, widths, strict=True), start=1):
        x = apply_block(x, width, stride, style, drop_rate * depth / len(widths))
    return style.activate(x) if style.pre_activation else x


def apply_block(x: Any, filters: int, stride: int, style: Style, drop_rate: float) -> Any:
    """Adds a branch of convolutions to its input, which is projected where the shapes differ.

    Args:
        x: Feature maps, shape (batch, height, width, channels).
        filters: Number of output channels.
        stride: Stride of the block in pixels.
        style: What all blocks have in common.
        drop_rate: Fraction of the images, drawn again in each training step, for which the branch is skipped.

    Returns:
        Feature maps, shape (batch, height / stride, width / stride, filters).
    """
    start = style.activate(x) if style.pre_activation else x
    same = stride == 1 and x.shape[-1] == filters
    shortcut = x if same else style.finish(style.convolve(start, filters, 1, stride))
    residue = apply_branch(start, filters, stride, style)
    if drop_rate:
        residue = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1))(residue)
    x = layers.Add()([shortcut, residue])
    return x if style.pre_activation else layers.Activation(style.activation)(x)


def apply_branch(x: Any, filters: int, stride: int, style: Style) -> Any:
    """Applies the convolutions of a block, and squeeze-and-excitation; see `apply_block`."""
    if style.bottleneck:
        x = style.activate(style.convolve(x, filters // 2, 1))
        x = style.activate(style.convolve(x, filters // 2, 3, stride))
    else:
        x = style.activate(style.convolve(x, filters, 3, stride))
    initializer = "he_normal" if style.batch_norm else "zeros"
    x = style.finish(style.convolve(x, filters, 1 if style.bottleneck else 3, initializer=initializer))
    return squeeze_excite(x) if style.squeeze_excite else x


def squeeze_excite(x: Any) -> Any:
    """Scales each channel by a gate, 0..1, that depends on the means of all of them; returns maps of the same shape."""
    filters = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = convolve(gate, filters // REDUCTION, 1)
    return layers.Multiply()([x, convolve(gate, filters, 1, activation="sigmoid")])
