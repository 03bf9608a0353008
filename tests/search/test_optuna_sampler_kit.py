"""Optuna's own tests of a sampler, on ours: what Optuna's studies expect of one."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase

from searchcnn.search import make_sampler
from searchcnn.study import ComponentConfig

pytestmark = pytest.mark.slow


class TestTPE(BasicSamplerTestCase):
    """The sampler of a study that names none."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Returns what makes it."""
        return lambda: make_sampler(ComponentConfig(name="TPESampler"), 0)


class TestJointTPE(BasicSamplerTestCase, RelativeSamplerTestCase):
    """One that samples all parameters together, whichever occurred together before."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Returns what makes it."""
        options = {"multivariate": True, "group": False, "n_startup_trials": 0}
        return lambda: make_sampler(ComponentConfig.model_validate({"name": "TPESampler", **options}), 0)


class TestRandom(BasicSamplerTestCase):
    """One that samples each parameter by itself."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Returns what makes it."""
        return lambda: make_sampler(ComponentConfig(name="RandomSampler"), 0)
