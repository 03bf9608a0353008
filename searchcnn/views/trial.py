"""One trial as `searchcnn status STUDY TRIAL` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from searchcnn.results.card import get_trial_path
from searchcnn.results.leaderboard import find_counting_epoch
from searchcnn.store import SCORES, SPENT, STRETCHES
from searchcnn.text import format_amount, format_duration, format_score, format_value
from searchcnn.views.curve import draw_curve
from searchcnn.views.summary import LEAST_SHARE
from searchcnn.views.tables import STYLES

if TYPE_CHECKING:
    from searchcnn.events import Epoch
    from searchcnn.results import Leaderboard
    from searchcnn.store import TrialSummary
    from searchcnn.study import Workspace

WIDEST_CURVE, CURVE_HEIGHT = 100, 14
"""Largest width of a learning curve, and its height, in characters."""
STOPS = {"finished": "trained to its end", "timeout": "cut by the timeout of the search"}
"""What it means how the training of a complete trial has ended."""


@dataclass(frozen=True)
class TrialView:
    """A trial as it is shown.

    Attributes:
        trial: The trial.
        curve: Its epochs.
        board: The trials of its study, compared.
        workspace: Where the study is kept.
        storage: URL of the study's database; None for a file in the workspace.
    """

    trial: TrialSummary
    curve: Sequence[Epoch]
    board: Leaderboard
    workspace: Workspace
    storage: str | None = None

    def describe(self, console: Console) -> Iterator[RenderableType]:
        """Yields all of it.

        Args:
            console: Where it is shown.
        """
        yield self._make_title()
        yield make_facts(dict(self._list_facts()))
        if self.trial.hyperparameters:
            values = {name: format_value(value) for name, value in self.trial.hyperparameters.items()}
            yield from (Text("\nhyperparameters", style="bold"), make_facts(values))
        yield from self._draw_curves(min(WIDEST_CURVE, console.width))
        if lines := list(self._tell_rebuilding()):
            yield Text("\nits network, in Python", style="bold")
            yield from lines
        if traceback := self.trial.facts.get("traceback"):
            yield Text(f"\n{traceback.rstrip()}", style="dim")

    def _make_title(self) -> Text:
        state = self.trial.state
        name = f"trial {self.trial.number} of {self.board.summary.name}"
        return Text.assemble((name, "bold"), ": ", (state, STYLES.get(state, "")), self._explain_end())

    def _explain_end(self) -> str:
        """Returns why it has ended, or what it waits for."""
        facts, is_running = self.trial.facts, self.board.summary.running
        reason = ": ".join(str(facts[key]) for key in ("reason", "detail") if facts.get(key))
        unfinished = {
            "WAITING": "to be trained",
            "RUNNING": "a search is running" if is_running else "interrupted; the same command continues",
        }
        end = reason or STOPS.get(facts.get("stopped", ""), "") or unfinished.get(self.trial.state, "")
        return f", {end}" if end else ""

    def _list_facts(self) -> Iterator[tuple[str, str]]:
        trial, facts, metric = self.trial, self.trial.facts, self.board.summary.config.objective.metric
        origin = facts.get("origin", "")
        yield "search space", f"{trial.space}{f' ({origin})' if origin else ''}" if trial.space else origin
        yield metric, self._describe_score()
        if "params" in facts:
            yield "network", f"{format_amount(facts['params'])} parameters, {format_amount(facts.get('macs'))} MACs"
        if trial.epochs:
            yield "epochs", f"{trial.epochs} in {format_duration(trial.seconds)}{self._describe_stretches()}"
        spent = {activity: seconds for activity, seconds in facts.get(SPENT, {}).items() if seconds}
        total = sum(spent.values())
        ranked = sorted(spent.items(), key=lambda item: -item[1])
        shares = [f"{s / total:.0%} {activity}" for activity, s in ranked if s >= LEAST_SHARE * total]
        if shares:
            yield "time", f"{format_duration(total)}: {', '.join(shares)}"

    def _describe_score(self) -> str:
        trial, board = self.trial, self.board
        epoch, gap = find_counting_epoch(self.curve, board.summary.config.objective), board.gaps.get(trial.number)
        rank = board.records[trial.number]["rank"]
        parts = [
            f"at epoch {epoch.number}" if epoch and trial.epochs > 1 else "",
            f"rank {rank} of {len(board.summary.ranking)}" if rank else "",
            "as good as the best within the noise" if trial in board.ties else "",
            f"{abs(gap):.4f} {'better' if gap >= 0 else 'worse'} in training" if gap is not None else "",
        ]
        return ", ".join([format_score(trial.value), *filter(None, parts)]) if trial.value is not None else ""

    def _describe_stretches(self) -> str:
        """Returns how it went on after each stretch of a plan, if there were several."""
        facts = self.trial.facts
        pairs = list(zip(accumulate(facts.get(STRETCHES, ())), facts.get(SCORES, ()), strict=False))
        steps = (f"{format_score(score)} after {epochs}" for epochs, score in pairs)
        return f", in {len(pairs)} stretches: {', '.join(steps)}" if len(pairs) > 1 else ""

    def _draw_curves(self, width: int) -> Iterator[RenderableType]:
        metric = self.board.summary.config.objective.metric
        for key in dict.fromkeys((metric, "val_loss")):
            if drawing := draw_curve(self.curve, key, width, CURVE_HEIGHT):
                yield Text.assemble("\n", drawing)
        if len(self.curve) == 1:
            values = {name: f"{value:.4f}" for name, value in self.curve[0].metrics.items()}
            yield from (Text("\nits epoch", style="bold"), make_facts(values))

    def _tell_rebuilding(self) -> Iterator[str]:
        """Yields Python that loads or builds its network."""
        model = get_trial_path(self.workspace.best_model(self.board.summary.name), self.trial.number)
        if model.exists():
            path = self.workspace.shorten(model).as_posix()
            yield f"  trained:    keras.models.load_model({path!r})"
        if self.trial.space:
            storage = f", storage={self.storage!r}" if self.storage else ""
            name = self.board.summary.name
            yield f"  untrained:  searchcnn.Study({name!r}{storage}).build({self.trial.number})"


def make_facts(facts: Mapping[str, Any]) -> Table:
    """Returns a table of facts by name, those without a value left out."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            table.add_row(f"  {name}", Text(str(fact)))
    return table
