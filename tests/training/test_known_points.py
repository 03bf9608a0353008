"""How known points are chosen, and what is recorded for that; see benchmarks/known_points."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.known_points import __main__ as command
from benchmarks.known_points import candidates as drawing
from benchmarks.known_points.candidates import Candidate, list_candidates
from benchmarks.known_points.choosing import PASSES, Curves, choose, list_common, lose, measure_losses
from benchmarks.known_points.recording import Recorder, make_trainer

LOSSES = np.array([[[0.3], [0.3]], [[0.0], [0.7]], [[0.7], [0.0]], [[0.31], [0.32]]])
"""Of four candidates, on two data sets."""


def make_point(name: str, accuracy: tuple[float, float], seconds: float) -> dict[str, Any]:
    values = {"filters": len(name)}
    return {
        "space": "residual",
        "name": name,
        "values": values,
        "macs": 10**6,
        "accuracy": accuracy,
        "seconds": seconds,
    }


def write_records(folder: Path, name: str, points: list[dict[str, Any]]) -> Path:
    path = folder / f"{name}.json"
    content = {"shape": [32, 32, 3], "classes": 10, "images": {"train": 1000, "validation": 2500}, "points": points}
    path.write_text(json.dumps(content))
    return path


def test_each_point_lowers_most_what_is_lost_by_those_before() -> None:
    assert choose(LOSSES, 3) == [0, 1, 2]
    assert lose(LOSSES, [0, 1]).tolist() == [[0.0], [0.3]]
    assert choose(LOSSES, 9) == [0, 1, 2, 3]


def test_of_those_that_lower_it_alike_the_one_comes_first_that_loses_least_itself() -> None:
    losses = np.array([[[0.0], [0.5]], [[0.9], [0.001]], [[0.2], [0.003]]])
    assert choose(losses, 2) == [2, 0]
    assert choose(losses, 3) == [2, 0, 1]


def test_a_data_set_tells_candidates_apart_while_the_best_has_some_images_wrong(tmp_path: Path) -> None:
    hard = Curves.read(write_records(tmp_path, "hard", [make_point("net", (0.6, 0.8), 1.0)]))
    points = [make_point("net", (0.6, 0.8), 1.0), make_point("other", (0.9, 0.995), 1.0)]
    easy = Curves.read(write_records(tmp_path, "easy", points))
    assert (hard.tells, easy.tells) == (True, False)


def test_what_is_chosen_without_a_data_set_does_not_depend_on_it() -> None:
    assert choose(LOSSES[:, :1], 1) == [1]
    assert choose(LOSSES[:, 1:], 1) == [2]


def test_an_error_is_read_off_the_cycles_and_falls_with_the_time(tmp_path: Path) -> None:
    curves = Curves.read(write_records(tmp_path, "some", [make_point("net", (0.6, 0.8), seconds=2.0)]))
    [key] = curves.records
    of_a_pass = 2.0 / (1000 * 32 * 32)
    assert curves.find_error(key, 0.9 * of_a_pass) == 0.9  # nothing is known, of ten classes
    assert curves.find_error(key, 1.001 * of_a_pass) == pytest.approx(0.4, rel=0.01)
    assert curves.find_error(key, 2 * of_a_pass) == pytest.approx((0.4 * 0.2) ** 0.5)
    assert curves.find_error(key, 4 * of_a_pass) == pytest.approx(0.2)
    later = [curves.find_error(key, passes * of_a_pass) for passes in (4, 8, 16, 32)]
    assert later == sorted(later, reverse=True)
    assert later[1] < 0.19


def test_what_is_lost_is_beside_the_best_candidate_of_all_that_every_data_set_has(tmp_path: Path) -> None:
    quick, good = make_point("quick", (0.70, 0.75), 0.1), make_point("good", (0.6, 0.9), 4.0)
    rest = make_point("unfinished", (0.9, 0.99), 1.0)
    curves = [
        Curves.read(write_records(tmp_path, name, points))
        for name, points in (("one", [rest, quick, good]), ("two", [good, quick]))
    ]
    keys = list_common(curves, "residual")
    assert [curves[0].records[key].candidate.name for key in keys] == ["quick", "good"]
    losses = measure_losses(curves, keys)
    assert losses.shape == (2, 2, 3)
    assert (losses.min(axis=0) == 0).all()
    assert losses[0, 0, 0] == 0 < losses[1, 0, 0]  # in a short time the quick one is better
    assert losses[1, 0, 2] == 0 < losses[0, 0, 2]


def test_the_points_chosen_are_printed_as_python_with_what_is_lost_without_each_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, best in (("one", 0.8), ("two", 0.95)):
        points = [make_point("net", (0.5, 1.7 - best), 1.0), make_point("other", (0.5, best), 1.0)]
        write_records(tmp_path, name, points)
    monkeypatch.setattr(sys, "argv", ["known_points.py", "--folder", str(tmp_path), "choose", "--count", "2"])
    command.main()
    printed = capsys.readouterr().out
    assert "## residual: 2 of 2 candidates" in printed
    assert "{'other': {'filters': 5}, 'net': {'filters': 3}}" in printed
    rows = re.findall(r"^\| 1 \| (\d+)% \((\d+)%\) \| 0% \((\d+)%\)", printed, re.MULTILINE)
    assert len(rows) == 2  # of the space, and of all
    assert min(int(number) for row in rows for number in row) > 50
    assert "| 2 | 0% (0%) | 0% (0%) | 0% (0%) |" in printed


@pytest.mark.slow
def test_a_candidate_is_trained_once(tmp_path: Path) -> None:
    from searchcnn.backend import start_keras
    from searchcnn.sources import load_dataset
    from searchcnn.study import DataConfig

    start_keras()
    dataset = load_dataset(DataConfig.model_validate({"name": "digits"}), seed=0)
    path = tmp_path / "digits.json"
    tiny = Candidate("sequential", "tiny", {"blocks": 2, "filters_1": 16, "filters_2": 32})
    trainer = make_trainer(dataset, is_mirrored=False)
    Recorder(path, trainer).record(tiny)
    [point] = json.loads(path.read_text())["points"]
    assert point["name"] == "tiny"
    assert point["seconds"] > 0 < point["macs"]
    assert len(point["accuracy"]) == len(PASSES)
    assert 0.5 < point["accuracy"][-1] <= 1
    before = path.stat().st_mtime_ns
    Recorder(path, trainer).record(tiny)
    assert path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_candidates_are_the_known_points_and_then_others_of_several_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "DRAWN", 3)
    monkeypatch.setattr(drawing, "SPACES", ("sequential",))
    candidates = list(list_candidates(tmp_path))
    names = [candidate.name for candidate in candidates]
    assert names[:2] == ["default", "sequential_115k"]
    assert names[-3:] == ["drawn 0", "drawn 1", "drawn 2"]
    assert list(list_candidates(tmp_path)) == candidates  # of the file
