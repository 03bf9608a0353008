"""Makes a study of images that somebody has: a path, a function, or arrays."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from searchcnn.data import Report
from searchcnn.data.dataset import Arrays
from searchcnn.data.decoding import Watch
from searchcnn.errors import DataError, StudyChangedError, StudyFileError, UsageError
from searchcnn.files import replacing, writing
from searchcnn.proposal.start import PRETRAINED, Start, choose_start, find_weights
from searchcnn.proposal.study_file import TIMEOUT, propose
from searchcnn.run import Study
from searchcnn.sources import load_dataset, objects
from searchcnn.store import parse_url, read_begun
from searchcnn.study import DataConfig, StudyConfig, Workspace, configure, load, read_table, valid_name
from searchcnn.study.begun import as_begun
from searchcnn.study.config import seconds

Tell = Callable[[Report], None]
LEAST: Mapping[str, Any] = {"spaces": ["?"], "budget": {"trials": 1}}
"""The least that a study says, in the place of what is proposed."""


def new_study(
    name: str,
    data: Any,
    settings: Mapping[str, Any] | None = None,
    *,
    workspace: Workspace | None = None,
    storage: str | None = None,
    plugins: Sequence[Path] = (),
    weights: str | None = None,
) -> Study:
    """Makes a study of your images; `searchcnn.optimize` searches it.

    What is searched is proposed by what is found in the images, unless the workspace has a file ``studies/NAME.toml``
    for them. The same call makes the same study, which goes on where it stopped.

    Args:
        name: The study's name.
        data: The path of a folder, archive, table or ``.npz`` file; a function that returns images and labels, such as
            ``"package.module:function"``; or images and labels: ``(x, y)``, ``((x_train, y_train), (x_test, y_test))``,
            a dict of ``x_train``, ``y_train`` and so on, also with ``class_names``, or a `tf.data.Dataset` of
            ``(image, label)``. Images and labels are written to ``studies/NAME/images.npz``, where all workers find
            them.
        settings: Values of keys of a study file, as in ``{"training.epochs": 5, "budget.trials": 20}``.
        workspace: Where the study is kept; the current folder by default.
        storage: URL of the database; a file of its own in the workspace by default.
        plugins: Further folders of search spaces.
        weights: Pretrained weights to begin with: a ``.keras`` network, a file of weights, "imagenet" or "none"; by
            default those that can be had, where the images are photos.

    Raises:
        SearchcnnError: If the images cannot be used or kept, or a setting is not valid.
    """
    place = workspace or Workspace(Path.cwd())
    is_path = isinstance(data, str | os.PathLike)
    images = os.fspath(data) if is_path else str(_keep(data, place.images(valid_name(name))))
    _, config = images_study(place, images, name=name, extra=settings, storage=storage, weights=weights)
    return Study(name, config, place, storage, plugins)


def images_study(
    place: Workspace,
    images: str,
    *,
    name: str | None = None,
    study: str | None = None,
    overrides: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    tell: Tell | None = None,
    say: Callable[[str], None] = lambda text: None,
    weights: str | None = None,
    storage: str | None = None,
) -> tuple[str, StudyConfig]:
    """Returns the name and the configuration of the study that searches images.

    Its settings are those of another study, if one is named; else those of the workspace's study file for these
    images, if there is one; else they are proposed.

    Args:
        place: The workspace.
        images: The images, as ``[data] path`` has them.
        name: The study's name; that of the images by default.
        study: Name or file of the study whose settings are taken, with these images.
        overrides: As in `searchcnn.study.load`.
        extra: As in `searchcnn.study.load`.
        watch: Is told how far the images are read.
        tell: Is told what was found in them.
        say: Is told in a line what the search begins with, and why.
        weights: Pretrained weights that the user has given; see `searchcnn.proposal.start.find_weights`.
        storage: URL of the database; a file of its own in the workspace by default. What a study that was begun
            searches is read from there: it is proposed once for all.

    Raises:
        SearchcnnError: If the images cannot be used, a key or value is not valid, or the name is that of a study file
            for other images.
    """
    kept = valid_name(images_name(images) if name is None else name)
    file = _file_for(place, kept, images)
    if weights is not None and (file or study):
        raise UsageError(
            f"--weights {weights}: {study or file} says what is searched; set the options backbones or weights of "
            f"transfer there, or by --set options.transfer.weights={weights}"
        )
    if study is not None:
        _, other = place.find(study)
        if file is None or not file.samefile(other):
            if file is not None and file.stem == kept:
                raise _taken(file, kept, f"holds other settings than {study}")
            return kept, configure(_with_images(other, images), str(other), overrides, extra)
    if file is not None:
        say(f"{kept}: as {file} says")
        return kept, load(file, overrides, extra)
    if begun := read_begun(parse_url(storage or place.database_url(kept)), kept):
        _check_weights(begun.config, weights, kept)
        say(f"{kept}: goes on as it was begun; only the budget may change")
        table = {**begun.config.model_dump(include={"spaces", "budget"}, exclude_none=True), "data": {"path": images}}
        return kept, as_begun(configure(table, images, overrides, extra), begun.config.model_dump())
    return kept, _proposed(kept, images, overrides, extra, watch, tell, say, weights)


def images_name(images: str) -> str:
    """Returns the name of the study of images: that of their folder, file or function, as a study may be named.

    >>> images_name("data/My pets.tar.gz"), images_name("package.module:load_pets")
    ('My-pets', 'load_pets')
    """
    place = images if objects.is_factory(images) else str(Path(images).expanduser().resolve())
    return re.sub(r"[^A-Za-z0-9_-]+", "-", DataConfig(path=place).title).strip("-_") or "images"


def _with_images(file: Path, images: str) -> dict[str, Any]:
    """Returns what a study file says, with other images and without what it says of its own."""
    table = {key: value for key, value in read_table(file).items() if key not in ("description", "published")}
    return {**table, "data": {"path": images}}


def _check_weights(begun: StudyConfig, given: str | None, name: str) -> None:
    """Refuses other weights than those that a study was begun with.

    Raises:
        StudyChangedError: If others are given.
    """
    options: dict[str, Any] = begun.options.get(PRETRAINED, {})
    known = [options.get("weights", "imagenet"), *options.get("backbones", ())] if options else ["none"]
    if given is not None and given not in known:
        raise StudyChangedError(
            f"study '{name}' was begun with other weights ({', '.join(map(str, known))}); leave --weights {given} out, "
            f"or begin a new study with --name {name}-2"
        )


class Proposal(NamedTuple):
    """What is proposed for images.

    Attributes:
        text: The text of a study file.
        start: What its search begins with.
    """

    text: str
    start: Start


def proposal(
    name: str,
    images: str,
    report: Report,
    timeout: str | float | None = None,
    weights: str | None = None,
    spaces: Sequence[str] = (),
) -> Proposal:
    """Proposes a study of images.

    Args:
        name: The study's name.
        images: The images, as ``[data] path`` has them.
        report: What was found in the images.
        timeout: Time of the search; an hour by default.
        weights: Pretrained weights that the user has given; see `searchcnn.proposal.start.find_weights`.
        spaces: Search spaces that the user has chosen.

    Raises:
        SearchcnnError: If the time or the weights are not valid.
    """
    try:
        time = seconds(timeout or TIMEOUT)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    start = choose_start(report, time, find_weights(time, weights), spaces)
    return Proposal(propose(name, images, report, start, str(timeout or TIMEOUT)), start)


def _proposed(
    name: str,
    images: str,
    overrides: Sequence[str],
    extra: Mapping[str, Any] | None,
    watch: Watch | None,
    tell: Tell | None,
    say: Callable[[str], None],
    weights: str | None,
) -> StudyConfig:
    wanted = configure({**LEAST, "data": {"path": images}}, images, overrides, extra)
    report = load_dataset(wanted.data, wanted.seed, watch, tell).report
    spaces = () if wanted.spaces == LEAST["spaces"] else wanted.spaces
    proposed = proposal(name, images, report, wanted.budget.timeout, weights, spaces)
    say(f"{wanted.data.title}: {proposed.start.reason}")
    return configure(tomllib.loads(proposed.text), images, overrides, extra)


def _file_for(place: Workspace, name: str, images: str) -> Path | None:
    """Returns the study file of that name, or else that of the images' name if it is for them.

    Raises:
        StudyFileError: If the study file of that name is for other images.
    """
    for stem in (name, images_name(images)):
        file = place.studies / f"{stem}.toml"
        if file.exists():
            data = load(file).data
            if data.path is not None and _is_same(data.path, images):
                return file
            if stem == name:
                raise _taken(file, name, f"is for other images, {data.path or data.name}")
    return None


def _is_same(one: str, other: str) -> bool:
    return one == other or Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _taken(file: Path, name: str, why: str) -> StudyFileError:
    return StudyFileError(f"{file} {why}; keep this search under another name: --name {name}-2")


def _keep(data: Any, file: Path) -> Path:
    """Writes images and labels to a file, if they are not there already; returns its path, short where that will do.

    Raises:
        DataError: If they are none.
        UsageError: If the file holds others.
        StoreError: If it cannot be written.
    """
    try:
        arrays = _named(objects.from_object(data))
    except ValueError as error:
        raise DataError(f"data: {error}") from error
    if not file.exists():
        with writing(file), replacing(file) as new:
            np.savez(new, **arrays)
    elif not _holds(file, arrays):
        raise UsageError(f"{file} holds other images; give the new study another name, or delete the old one")
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _named(arrays: Arrays) -> dict[str, Any]:
    pairs = ((part, split.images, split.labels) for part, split in arrays.parts.items())
    named = {key: value for part, x, y in pairs for key, value in ((f"x_{part}", x), (f"y_{part}", y))}
    return named if arrays.class_names is None else {**named, "class_names": np.array(arrays.class_names)}


def _holds(file: Path, arrays: Mapping[str, Any]) -> bool:
    with np.load(file) as kept:
        return set(kept.files) == set(arrays) and all(np.array_equal(kept[key], arrays[key]) for key in kept.files)
