"""Makes a study of a user's images: a path, a function, or arrays."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from searchcnn.data import Inspection
from searchcnn.data.dataset import Arrays
from searchcnn.errors import DataError, StudyChangedError, StudyFileError, UsageError
from searchcnn.events import Hear, Note, ignore
from searchcnn.files import guard_writing, replace_file
from searchcnn.proposal.start import PRETRAINED, Start, choose_start, find_weights
from searchcnn.proposal.study_file import TIMEOUT, write_study_file
from searchcnn.run import Study
from searchcnn.sources import load_dataset, objects
from searchcnn.store import parse_url, read_if_begun
from searchcnn.study import DataConfig, StudyConfig, Workspace, check_name, configure, load, read_table
from searchcnn.study.begun import as_begun
from searchcnn.study.config import parse_duration

MINIMAL: Mapping[str, Any] = {"spaces": ["?"], "budget": {"trials": 1}}
"""The least that a study file must say, until the rest is proposed."""


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

    The images are inspected, and a search is proposed to fit them, unless the workspace has a file
    ``studies/NAME.toml`` for them. The same call makes the same study, which continues where it stopped.

    Args:
        name: The study's name.
        data: The path of a folder, archive, table or ``.npz`` file; a function that returns images and labels, such as
            ``"package.module:function"``; or images and labels: ``(x, y)``, ``((x_train, y_train), (x_test, y_test))``,
            a dict of ``x_train``, ``y_train`` and so on, optionally with ``class_names``, or a `tf.data.Dataset` of
            ``(image, label)``. Images and labels are written to ``studies/NAME/images.npz``, where all workers find
            them.
        settings: Values of keys of a study file, as in ``{"training.epochs": 5, "budget.trials": 20}``.
        workspace: Where the study is kept; the current folder by default.
        storage: URL of the database; by default, a file in the workspace.
        plugins: Further folders of search spaces.
        weights: Pretrained weights to begin with: a ``.keras`` network, a file of weights, "imagenet" or "none"; by
            default those that are available, if the images are photos.

    Raises:
        SearchcnnError: If the images cannot be used or kept, or a setting is not valid.
    """
    workspace = workspace or Workspace(Path.cwd())
    is_path = isinstance(data, str | os.PathLike)
    images = os.fspath(data) if is_path else str(_save(data, workspace.images(check_name(name))))
    _, config = configure_images(workspace, images, name=name, extra=settings, storage=storage, weights=weights)
    return Study(name, config, workspace, storage, plugins)


def configure_images(
    workspace: Workspace,
    images: str,
    *,
    name: str | None = None,
    study: str | None = None,
    overrides: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    hear: Hear = ignore,
    weights: str | None = None,
    storage: str | None = None,
) -> tuple[str, StudyConfig]:
    """Returns the name and the configuration of the study that searches images.

    Its settings are taken from another study, if one is named, or else from the workspace's study file for these
    images, if there is one; otherwise they are proposed.

    Args:
        workspace: The workspace.
        images: The images, as in ``[data] path``.
        name: The study's name; by default, the name of the images.
        study: Name or file of the study whose settings are used with these images.
        overrides: As in `searchcnn.study.load`.
        extra: As in `searchcnn.study.load`.
        hear: Hears how far the images are read, what was found in them, and in one line what the search begins with,
            and why.
        weights: The user's choice of pretrained weights; see `searchcnn.proposal.start.find_weights`.
        storage: URL of the database; by default, a file in the workspace. What a study that has begun searches is
            read from there: it is proposed only once.

    Raises:
        SearchcnnError: If the images cannot be used, a key or value is not valid, or the name is that of a study file
            for other images.
    """
    name = check_name(name_study(images) if name is None else name)
    file = _find_file(workspace, name, images)
    if weights is not None and (file or study):
        raise UsageError(
            f"--weights {weights}: {study or file} says what is searched; set the options backbones or weights of "
            f"transfer there, or by --set options.transfer.weights={weights}"
        )
    if study is not None:
        _, other = workspace.find(study)
        if file is None or not file.samefile(other):
            if file is not None and file.stem == name:
                raise _explain_conflict(file, name, f"holds other settings than {study}")
            return name, configure(_replace_images(other, images), str(other), overrides, extra)
    if file is not None:
        hear(Note(f"{name}: as {file} says"))
        return name, load(file, overrides, extra)
    if begun := read_if_begun(parse_url(storage or workspace.database_url(name)), name):
        _check_weights(begun.config, weights, name)
        hear(Note(f"{name}: continues as it was begun; only the budget may change"))
        table = {**begun.config.model_dump(include={"spaces", "budget"}, exclude_none=True), "data": {"path": images}}
        return name, as_begun(configure(table, images, overrides, extra), begun.config.model_dump())
    return name, _configure_proposed(name, images, overrides, extra, hear, weights)


def name_study(images: str) -> str:
    """Returns a name for the study of images: the name of their folder, file or function, made valid.

    >>> name_study("data/My pets.tar.gz"), name_study("package.module:load_pets")
    ('My-pets', 'load_pets')
    """
    path = images if objects.is_factory(images) else str(Path(images).expanduser().resolve())
    return re.sub(r"[^A-Za-z0-9_-]+", "-", DataConfig(path=path).title).strip("-_") or "images"


def _replace_images(file: Path, images: str) -> dict[str, Any]:
    """Returns what a study file says, with other images and without what it says about its own."""
    table = {key: value for key, value in read_table(file).items() if key not in ("description", "published")}
    return {**table, "data": {"path": images}}


def _check_weights(begun: StudyConfig, choice: str | None, name: str) -> None:
    """Raises an error if other weights are given than those that a study was begun with.

    Raises:
        StudyChangedError: If they are.
    """
    options: dict[str, Any] = begun.options.get(PRETRAINED, {})
    original = [options.get("weights", "imagenet"), *options.get("backbones", ())] if options else ["none"]
    if choice is not None and choice not in original:
        weights = ", ".join(map(str, original))
        raise StudyChangedError(
            f"study '{name}' was begun with other weights ({weights}); leave out --weights {choice}, or begin a "
            f"new study with --name {name}-2"
        )


class Proposal(NamedTuple):
    """What is proposed for images.

    Attributes:
        text: The text of a study file.
        start: What its search begins with.
    """

    text: str
    start: Start


def propose(
    name: str,
    images: str,
    inspection: Inspection,
    timeout: str | float | None = None,
    weights: str | None = None,
    spaces: Sequence[str] = (),
) -> Proposal:
    """Proposes a study of images.

    Args:
        name: The study's name.
        images: The images, as in ``[data] path``.
        inspection: What was found in the images.
        timeout: Time for the search; an hour by default.
        weights: The user's choice of pretrained weights; see `searchcnn.proposal.start.find_weights`.
        spaces: The user's choice of search spaces.

    Raises:
        SearchcnnError: If the time or the weights are not valid.
    """
    try:
        time = parse_duration(timeout or TIMEOUT)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    start = choose_start(inspection, time, find_weights(time, weights), spaces)
    return Proposal(write_study_file(name, images, inspection, start, str(timeout or TIMEOUT)), start)


def _configure_proposed(
    name: str,
    images: str,
    overrides: Sequence[str],
    extra: Mapping[str, Any] | None,
    hear: Hear,
    weights: str | None,
) -> StudyConfig:
    config = configure({**MINIMAL, "data": {"path": images}}, images, overrides, extra)
    inspection = load_dataset(config.data, config.seed, hear).inspection
    spaces = () if config.spaces == MINIMAL["spaces"] else config.spaces
    proposal = propose(name, images, inspection, config.budget.timeout, weights, spaces)
    hear(Note(f"{config.data.title}: {proposal.start.reason}"))
    return configure(tomllib.loads(proposal.text), images, overrides, extra)


def _find_file(workspace: Workspace, name: str, images: str) -> Path | None:
    """Returns the study file with this name, or else the one with the images' name if it is for these images.

    Raises:
        StudyFileError: If the study file with this name is for other images.
    """
    for stem in (name, name_study(images)):
        file = workspace.studies / f"{stem}.toml"
        if file.exists():
            data = load(file).data
            if data.path is not None and _is_same(data.path, images):
                return file
            if stem == name:
                raise _explain_conflict(file, name, f"is for other images, {data.path or data.name}")
    return None


def _is_same(path: str, other: str) -> bool:
    return path == other or Path(path).expanduser().resolve() == Path(other).expanduser().resolve()


def _explain_conflict(file: Path, name: str, why: str) -> StudyFileError:
    return StudyFileError(f"{file} {why}; keep this search under another name: --name {name}-2")


def _save(data: Any, file: Path) -> Path:
    """Writes images and labels to a file, unless it is there already; returns its path, relative if possible.

    Raises:
        DataError: If they are not images and labels.
        UsageError: If the file holds others.
        StoreError: If it cannot be written.
    """
    try:
        arrays = _name_arrays(objects.from_object(data))
    except ValueError as error:
        raise DataError(f"data: {error}") from error
    if not file.exists():
        with guard_writing(file), replace_file(file) as new:
            np.savez(new, **arrays)
    elif not _holds(file, arrays):
        raise UsageError(f"{file} holds other images; give the new study another name, or delete the old one")
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _name_arrays(arrays: Arrays) -> dict[str, Any]:
    pairs = ((part, split.images, split.labels) for part, split in arrays.parts.items())
    values = {key: value for part, x, y in pairs for key, value in ((f"x_{part}", x), (f"y_{part}", y))}
    return values if arrays.class_names is None else {**values, "class_names": np.array(arrays.class_names)}


def _holds(file: Path, arrays: Mapping[str, Any]) -> bool:
    with np.load(file) as saved:
        return set(saved.files) == set(arrays) and all(np.array_equal(saved[key], arrays[key]) for key in saved.files)
