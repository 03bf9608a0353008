"""The built-in studies: each can be read, and says what there is to beat."""

from pathlib import Path

import pytest

from searchcnn._bundled import locate_bundled
from searchcnn.study import load

STUDIES = {path.stem: path for path in sorted(locate_bundled("studies").glob("*.toml"))}
REFERENCES = [
    ("mnist", "sequential", "mnist_convnet", 0.9915),
    ("fashion_mnist", "sequential", "two_conv_pooling", 0.916),
    ("fashion_mnist", "sequential", "two_conv_500k", 0.934),
    ("cifar10", "sequential", "cifar10_convnet", 0.6709),
    ("cifar10", "inception", "googlenet_validation", 0.8191),
    ("cifar10_inception", "inception", "googlenet_validation", 0.8191),
    ("cifar100_25", "sequential", "cifar100_dropout", 0.6108),
    ("cifar100_25", "sequential", "cifar100_bn", 0.6968),
    ("birds_transfer", "transfer", "resnet50_features_dense", 0.4329),
    ("birds_transfer", "transfer", "resnet50_finetune", 0.4468),
]
"""Study, search space, published network, its score."""


@pytest.mark.parametrize("path", STUDIES.values(), ids=STUDIES)
def test_is_valid_and_names_the_score_to_beat(path: Path) -> None:
    study = load(path)
    assert study.description.endswith(".")
    scores = study.published.values()
    assert not scores or any(f"{score:g}" in study.description for score in scores)
    assert set(study.options) <= set(study.spaces)


@pytest.mark.parametrize(("study", "space", "network", "score"), REFERENCES)
def test_holds_the_published_score(study: str, space: str, network: str, score: float) -> None:
    config = load(STUDIES[study])
    assert space in config.spaces
    assert config.published[network] == score


def test_every_published_study_is_covered() -> None:
    assert {study for study, *_ in REFERENCES} == set(STUDIES) - {"digits"}


def test_time_limits_the_size_of_networks_and_how_long_they_are_trained() -> None:
    for name, file in STUDIES.items():
        config = load(file)
        assert (config.limits.max_params, config.limits.max_macs) == (None, None), name
        if config.spaces != ["transfer"] and name != "digits":
            assert config.training.epochs is None, name


def test_cifar_100_is_reduced_to_25_classes() -> None:
    config = load(STUDIES["cifar100_25"])
    assert (config.data.name, config.data.classes, config.data.validation) == ("cifar100", 25, 0.1)


def test_the_transfer_to_birds_starts_from_imagenet() -> None:
    options = load(STUDIES["birds_transfer"]).options
    assert options == {"transfer": {"backbones": ["ResNet50"], "weights": "imagenet", "image_sizes": [224]}}
