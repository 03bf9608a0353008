"""What a study that an earlier version has begun does in another way is said, and nothing else."""

import pytest

from searchcnn.study.rules import RULES, difference


@pytest.mark.parametrize(("rules", "pixels", "views"), [(1, True, True), (2, False, True), (RULES, False, False)])
def test_says_what_an_older_study_lacks(rules: int, pixels: bool, views: bool) -> None:
    text = difference(rules)
    assert ("still gets 0..1" in text, "anew in each epoch" in text) == (pixels, views)
    assert bool(text) is (rules < RULES)
