"""The built-in datasets."""

from dataclasses import dataclass

from searchcnn.data.dataset import Shape


@dataclass(frozen=True)
class Builtin:
    """What is known about a dataset before it is read.

    Attributes:
        shape: Shape of one image: (height, width, channels).
        train: Number of training images.
        test: Number of test images.
        class_names: Name of each class by label.
        origin: Where Keras downloads it from; None for a dataset that comes with scikit-learn.
    """

    shape: Shape
    train: int
    test: int
    class_names: tuple[str, ...]
    origin: str | None


_KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
_CIFAR = "https://www.cs.toronto.edu/~kriz"
_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FINE_OBJECTS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""

BUILTIN = {
    "fashion_mnist": Builtin((28, 28, 1), 60_000, 10_000, _CLOTHES, f"{_KERAS}/train-labels-idx1-ubyte.gz"),
    "mnist": Builtin((28, 28, 1), 60_000, 10_000, _DIGITS, f"{_KERAS}/mnist.npz"),
    "cifar10": Builtin((32, 32, 3), 50_000, 10_000, _OBJECTS, f"{_CIFAR}/cifar-10-python.tar.gz"),
    "cifar100": Builtin((32, 32, 3), 50_000, 10_000, tuple(_FINE_OBJECTS.split()), f"{_CIFAR}/cifar-100-python.tar.gz"),
    "digits": Builtin((8, 8, 1), 1_437, 360, _DIGITS, None),
}
"""The built-in datasets by name."""

BUILTIN_NAMES = tuple(BUILTIN)
"""Names of the built-in datasets."""
