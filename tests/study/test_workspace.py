"""Where studies are found, and where what belongs to them lies."""

from pathlib import Path

import pytest

from searchcnn._bundled import locate_bundled
from searchcnn.errors import StudyFileError
from searchcnn.store import find_sqlite_file, parse_url
from searchcnn.study import Workspace, check_name


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.studies.mkdir()
    return workspace


def test_built_in_studies_are_found_by_name(workspace: Workspace) -> None:
    assert workspace.find("digits") == ("digits", locate_bundled("studies") / "digits.toml")


def test_the_workspace_comes_before_the_built_in_studies(workspace: Workspace) -> None:
    own = workspace.studies / "digits.toml"
    own.touch()
    assert workspace.find("digits") == ("digits", own)
    assert workspace.list_study_files()["digits"] == own


def test_a_study_by_path(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workspace.root / "elsewhere.toml"
    path.touch()
    assert workspace.find(str(path)) == ("elsewhere", path)
    monkeypatch.chdir(workspace.root)
    assert workspace.find("elsewhere.toml") == ("elsewhere", Path("elsewhere.toml"))
    monkeypatch.setenv("HOME", str(workspace.root))
    assert workspace.find("~/elsewhere.toml") == ("elsewhere", path)


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("digit", r"^no study named 'digit' in .*studies or among the built-in ones; did you mean 'digits'\?$"),
        ("zzz", "; known: .*digits"),
        ("missing.toml", r"^missing\.toml: no such study file; `searchcnn studies` lists the studies by name$"),
        ("a/b", "^a/b: no such study file"),
        (".", r"no study named '\.'"),
        ("", "no study named ''"),
    ],
)
def test_studies_that_are_not_there(workspace: Workspace, study: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        workspace.find(study)


def test_a_folder_is_no_study(workspace: Workspace) -> None:
    with pytest.raises(StudyFileError, match="no such study file"):
        workspace.find(f"{workspace.studies}/")


def test_names(workspace: Workspace) -> None:
    assert check_name("Fashion_mnist-2.1") == "Fashion_mnist-2.1"
    for name in ("", ".hidden", "-x", "a b", "a/b", "ü", "a\n"):
        with pytest.raises(StudyFileError, match="cannot name a study; use letters"):
            check_name(name)
    (workspace.root / "a b.toml").touch()
    with pytest.raises(StudyFileError, match="'a b' cannot name a study"):
        workspace.find(str(workspace.root / "a b.toml"))


@pytest.mark.parametrize("folder", ["plain", "a b", "100%25", "who?", "at@home", "h#1", "ü", "{x}", "a:b"])
def test_databases_lie_in_the_workspace_whatever_it_is_called(tmp_path: Path, folder: str) -> None:
    workspace = Workspace(tmp_path / folder)
    file = workspace.studies / "digits.db"
    assert find_sqlite_file(parse_url(workspace.database_url("digits"))) == file
    assert workspace.best_model("digits") == workspace.studies / "digits" / "best.keras"
