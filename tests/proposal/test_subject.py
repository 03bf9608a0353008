"""A word of a command names a study or images."""

from pathlib import Path

import pytest

from searchcnn.errors import StudyFileError, UsageError
from searchcnn.proposal.subject import Subject
from searchcnn.study import Workspace

STUDY = "spaces = 'sequential'\n[data]\npath = '{}'\n[budget]\ntrials = 1\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "photos").mkdir()
    (tmp_path / "images.csv").write_text("path,label\n")
    (tmp_path / "studies").mkdir()
    return Workspace(tmp_path)


def test_a_name_or_a_file_of_a_study(workspace: Workspace) -> None:
    assert Subject.of("digits", workspace) == Subject(study="digits")
    assert Subject.of("studies/mine.toml", workspace) == Subject(study="studies/mine.toml")


@pytest.mark.parametrize("word", ["photos", "photos/", "./photos", "images.csv", "package.module:load"])
def test_images(workspace: Workspace, word: str) -> None:
    assert Subject.of(word, workspace) == Subject(data=word)


def test_the_images_of_a_study_of_the_same_name(workspace: Workspace) -> None:
    (workspace.studies / "photos.toml").write_text(STUDY.format("photos"))
    assert Subject.of("photos", workspace) == Subject(data="photos")


def test_a_study_and_other_images_of_the_same_name(workspace: Workspace) -> None:
    (workspace.root / "digits").mkdir()
    with pytest.raises(UsageError, match=r"'digits' is a study and a folder here; say which: --study digits or --data"):
        Subject.of("digits", workspace)
    assert Subject.of("digits/", workspace) == Subject(data="digits/")


@pytest.mark.parametrize(
    ("word", "hint"),
    [("digts", "'digits'"), ("photo", "'photos'"), ("./photoss", "'photos'"), ("qqq", "`searchcnn studies` lists")],
)
def test_nothing(workspace: Workspace, word: str, hint: str) -> None:
    with pytest.raises(StudyFileError, match=f"'{word}' is neither a study nor .*{hint}"):
        Subject.of(word, workspace)


def test_code(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=r"nets.py is code, not images; .* --space nets.py:NAME"):
        Subject.of("nets.py", workspace)
