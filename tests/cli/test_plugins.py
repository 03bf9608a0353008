"""`searchcnn plugins`: what `new` writes works, `show` draws it, `check` finds what is wrong with it."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from searchcnn.cli import main

TIMES = "\N{MULTIPLICATION SIGN}"

DEAD = """
from keras import Sequential, layers


def build(hp, input_shape, num_classes):
    '''Own work.'''
    units = hp.Int("units", 8, 64, step=8)
    net = Sequential([layers.Input(input_shape), layers.GlobalAveragePooling2D()])
    if hp.Boolean("hidden"):
        net.add(layers.Dense(units, activation="relu"))
    net.add(layers.Dense(num_classes, activation="softmax"))
    return net
"""

SCOPED = """
import keras
from keras import layers
from searchcnn import InfeasibleError, SearchSpace


class Scoped(SearchSpace):
    '''Two heads, asked for as Keras Tuner has it.

    More of it.
    '''

    reference = "A paper"

    def build(self, hp):
        x = images = keras.Input(self.input_shape)
        kind = hp.Choice("kind", ["flat", "average"])
        with hp.conditional_scope("kind", ["flat"]):
            if kind == "flat":
                x = layers.Dense(hp.Int("units", 8, 64), activation="relu")(layers.Flatten()(x))
        if kind == "average":
            x = layers.GlobalAveragePooling2D()(x)
        if hp.Float("rate", 0.0, 0.5, step=0.25) == 0.5:
            raise InfeasibleError("too much", "0.5")
        outputs = [layers.Dense(self.num_classes, activation="softmax")(x) for _ in range(2)]
        return keras.Model(images, outputs)

    def baselines(self):
        return {"flat": {"kind": "flat", "units": 16}}
"""


def call(folder: Path, *args: str, code: int = 0) -> str:
    """Runs a command in this process; returns what it printed, errors too."""
    out = io.StringIO()
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(out)
    with contextlib.chdir(folder), redirected[0], redirected[1], pytest.raises(SystemExit) as left:
        main(("plugins", *args))
    assert left.value.code == code, out.getvalue()
    return out.getvalue()


def call_json(folder: Path, *args: str) -> Any:
    return json.loads(call(folder, *args, "--json"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a new search space, and files with broken and unusual ones."""
    folder = tmp_path_factory.mktemp("workspace")
    call(folder, "new", "my_net")
    (folder / "dead.py").write_text(DEAD)
    (folder / "scoped.py").write_text(SCOPED)
    (folder / "text.py").write_text("no code")
    return folder


class TestNew:
    def test_says_what_comes_next(self, tmp_path: Path) -> None:
        printed = call(tmp_path, "new", "my_net")
        assert "Written: plugins/my_net.py\n         tests/test_my_net.py" in printed
        for command in ("plugins show my_net", "plugins check my_net", "--name my_net --space my_net"):
            assert command in printed

    @pytest.mark.slow
    def test_the_plugin_passes_all_checks(self, workspace: Path) -> None:
        (report,) = call_json(workspace, "check", "my_net", "--samples", "8")
        assert {check["status"] for check in report["checks"]} == {"passed"}
        assert len(report["checks"]) == 11

    @pytest.mark.slow
    def test_its_test_passes_where_warnings_are_errors(self, workspace: Path) -> None:
        few = "documentation or relevance or baselines"  # the test above runs all checks
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-k", few]
        done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
        assert "3 passed" in done.stdout, done.stdout

    def test_both_files_are_as_ruff_has_them(self, workspace: Path) -> None:
        files = [str(workspace / "plugins" / "my_net.py"), str(workspace / "tests" / "test_my_net.py")]
        for command in (["check", "--select", "E,F,I,UP,B", "--line-length", "120"], ["format", "--check"]):
            options = ["--line-length", "120"] if command[0] == "format" else []
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, *options, *files], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout

    def test_overwrites_nothing(self, workspace: Path) -> None:
        before = (workspace / "plugins" / "my_net.py").read_text()
        assert "my_net.py exists; choose another name" in call(workspace, "new", "my_net", code=2)
        assert (workspace / "plugins" / "my_net.py").read_text() == before

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("my-net", "'my-net' cannot name a search space; use letters, digits and '_', such as my_net"),
            ("3d", "such as net_3d"),
            ("class", "such as net_class"),
            ("_hidden", "such as hidden"),
            ("sequential", "there already is a search space 'sequential' (built-in, "),
        ],
    )
    def test_refuses_names(self, tmp_path: Path, name: str, message: str) -> None:
        printed = call(tmp_path, "new", name, code=2)
        assert message in printed
        assert printed.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


class TestCheck:
    @pytest.mark.slow
    def test_names_what_fails_and_exits_with_1(self, workspace: Path) -> None:
        printed = call(workspace, "check", "dead.py:build", "--samples", "8", code=1)
        lines = {line.split()[1]: line.split()[0] for line in printed.splitlines() if line[:1] in ("✓", "✗")}
        assert [name for name, mark in lines.items() if mark == "✗"] == ["relevance"]
        assert len(lines) == 11
        assert "hyperparameter 'units' changes nothing here" in " ".join(printed.split())
        assert printed.endswith("1 search space checked: dead failed\n")

    def test_a_plugin_that_cannot_be_loaded_is_a_row_and_no_crash(self, workspace: Path) -> None:
        printed = call(workspace, "check", "text.py", code=1)
        assert re.search(r"✗ +loading .*text.py:1: SyntaxError", printed)

    def test_without_names_all_are_checked(self, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from searchcnn.testing import conformance
        from searchcnn.testing.checks import CHECKS

        monkeypatch.setattr(conformance, "CHECKS", {"documentation": CHECKS["documentation"]})
        names = [report["name"] for report in call_json(workspace, "check")]
        assert names[0] == "my_net"
        assert {"sequential", "residual", "inception", "transfer"} <= set(names)

    @pytest.mark.slow
    def test_limits_and_images_can_be_given(self, workspace: Path) -> None:
        options = ("--samples", "2", "--max-params", "10", "--size", "8x8x1", "--classes", "3")
        printed = call(workspace, "check", "scoped.py:Scoped", *options, code=1)
        assert "the default network is over a limit, max_params" in printed
        assert "8x8x1" in printed

    def test_an_unknown_name(self, workspace: Path) -> None:
        assert "no search space named 'my_nut'; did you mean 'my_net'?" in call(workspace, "check", "my_nut", code=2)


class TestShow:
    def test_tables_and_network_of_a_new_plugin(self, workspace: Path) -> None:
        output = call(workspace, "show", "my_net").replace(TIMES, "x")
        assert re.search(r"filters_3 +Int +16 to 128, log, times 2 +32 +blocks >= 3", output)
        assert re.search(r"filters_4 .*blocks = 4", output)
        assert re.search(r"units .*hidden_layer = True", output)
        assert re.search(r"three_blocks +95\.4k +10\.3M", output)
        assert "Default network: images 32x32x3, 10 classes; 10.7k parameters, 3.24M MACs" in output
        assert re.search(r"^Conv2D 32, 3x3 · BatchNorm · relu +32x32x32 +1\.02k +█", output, re.MULTILINE)
        assert "\x1b" not in output

    def test_conditional_scopes_heads_and_infeasible_points(self, workspace: Path) -> None:
        output = call(workspace, "show", "scoped.py:Scoped", "--size", "8x8x1")
        assert "Two heads, asked for as Keras Tuner has it.\n" in re.sub(" +\n", "\n", output)
        assert "More of it" not in output
        assert "Reference: A paper" in output
        assert re.search(r"units .*kind = flat", output)
        assert re.search(r"flat +1\.21k +1\.18k +in training, with its heads: 1\.38k, 1\.34k MACs", output)
        assert "┆ auxiliary head, cut off when the network is saved" in output

    @pytest.mark.slow
    def test_which_network_is_drawn(self, workspace: Path) -> None:
        three = call(workspace, "show", "my_net", "--baseline", "three_blocks")
        assert "Baseline three_blocks: images" in three
        assert "95.4k parameters" in three
        set_by_hand = call(workspace, "show", "my_net", "--set", "hidden_layer=true", "--set", "units=256")
        assert "Dense 256 · relu" in set_by_hand
        first, again, other = (call_json(workspace, "show", "my_net", "--seed", seed) for seed in ("1", "1", "2"))
        assert first == again
        assert first["values"] != other["values"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--baseline", "four_blocks"), "has no baseline 'four_blocks'; did you mean 'three_blocks'?"),
            (("--set", "block=3"), "there is no hyperparameter 'block'; did you mean 'blocks'?"),
            (("--set", "blocks=9"), "hyperparameter 'blocks' cannot be 9"),
            (("--set", "units=64"), "'units' is not asked for here, only with "),
            (("--baseline", "three_blocks", "--seed", "1"), "--baseline and --seed both say which network to draw"),
            (("--set", "blocks"), "'blocks' is not a setting; write KEY=VALUE"),
            (("--size", "32"), "'32' is not an image size"),
        ],
    )
    def test_what_makes_no_sense(self, workspace: Path, options: tuple[str, ...], message: str) -> None:
        assert message in call(workspace, "show", "my_net", *options, code=2)

    def test_a_point_without_network(self, workspace: Path) -> None:
        printed = call(workspace, "show", "scoped.py:Scoped", "--set", "rate=0.5", code=2)
        assert "this point has no network: too much: 0.5; the point: kind=flat" in printed


def test_the_list_and_the_help_need_no_keras(workspace: Path) -> None:
    for args in ([], ["--help"], ["check", "--help"], ["show", "--help"], ["new", "other"], ["show", "no_such"]):
        script = (
            "import sys\nfrom searchcnn.cli.commands import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
            "assert not {'keras', 'tensorflow', 'optuna'} & set(sys.modules)"
        )
        command = [sys.executable, "-c", script, "plugins", *args]
        done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_options_come_after_the_command(workspace: Path) -> None:
    assert "options come after the command: plugins check" in call(workspace, "--json", "check", code=2)
    assert "no command 'chek'; did you mean 'check'?" in call(workspace, "chek", code=2)
