"""Names that are imported when they are asked for."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = ("searchcnn", "searchcnn.spaces", "searchcnn.store", "searchcnn.testing")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_are_listed_without_an_import(package: str) -> None:
    code = f"import sys, {package} as it; assert set(it.__all__) <= set(dir(it)); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"keras", "optuna", "pytest", "searchcnn.run"} & set(done.stdout.split())


@pytest.mark.parametrize("package", PACKAGES)
def test_each_name_is_that_of_its_home(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.HOMES) <= set(module.__all__)
    for name, home in module.HOMES.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name(package: str) -> None:
    with pytest.raises(AttributeError, match=rf"module '{package}' has no attribute 'nothing'"):
        _ = importlib.import_module(package).nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {package} import nothing")
