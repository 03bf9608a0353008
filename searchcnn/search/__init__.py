"""The search: samplers, pruners and the engine. Keras Tuner is touched by `searchcnn.search.hyperparameters` only."""

from searchcnn.search.budget import MAX_RESERVE, Budget
from searchcnn.search.components import make_pruner, make_sampler
from searchcnn.search.engine import Evaluation, Evaluator, Keeper, Search
from searchcnn.search.limits import Cost, check_limits
from searchcnn.search.samplers import SeededSampler
from searchcnn.search.scheduler import Scheduler, make_scheduler
from searchcnn.search.seeds import Stream, derive_seed
from searchcnn.search.trial import InterruptedTrialError, OutOfTimeError, Trial, TrialPrunedError

__all__ = [
    "MAX_RESERVE",
    "Budget",
    "Cost",
    "Evaluation",
    "Evaluator",
    "InterruptedTrialError",
    "Keeper",
    "OutOfTimeError",
    "Scheduler",
    "Search",
    "SeededSampler",
    "Stream",
    "Trial",
    "TrialPrunedError",
    "check_limits",
    "derive_seed",
    "make_pruner",
    "make_sampler",
    "make_scheduler",
]
