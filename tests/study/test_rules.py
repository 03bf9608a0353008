"""What a study that an earlier version has begun does in another way is said, and nothing else."""

import pytest

from searchcnn.study.rules import RULES, Rules


@pytest.mark.parametrize(
    ("rules", "pixels", "views"),
    [(Rules(1), True, True), (Rules(2), False, True), (Rules(3), False, False), (RULES, False, False)],
)
def test_says_what_an_older_study_lacks(rules: Rules, pixels: bool, views: bool) -> None:
    text = rules.remark
    assert ("still gets 0..1" in text, "again in each epoch" in text) == (pixels, views)
    assert (rules.builders_count, rules.views_are_kept) == (not pixels, not views)
    assert bool(text) is bool(rules.lacking) is (rules != RULES)
