"""The private names of Keras Tuner that searchcnn depends on: no other module touches them."""

from typing import Any

import keras_tuner


class HookedHyperParameters(keras_tuner.HyperParameters):
    """Keras Tuner's hyperparameters with public methods for what only private ones decide there.

    A subclass says what a hyperparameter's value is, and what happens when its name is declared again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answered: set[str] = set()

    def answer(self, hp: Any) -> Any:
        """Returns the value of a hyperparameter that is asked for the first time, and is active.

        Args:
            hp: Its declaration; its name includes the open scopes.
        """
        return self.values.get(hp.name, hp.default)

    def check_redeclared(self, earlier: Any, hp: Any) -> None:
        """Is called before a hyperparameter that was declared before is answered with the earlier value.

        Args:
            earlier: A declaration of the same name under the same conditions.
            hp: The new one; raise to refuse it.
        """

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        # A copy, because `conditions` is the live stack of open scopes.
        hp = type(hyperparameter).from_config(hyperparameter.get_config())
        if self.is_active(hp) and hp.name not in self._answered:
            self._answered.add(hp.name)
            self.values[hp.name] = self.answer(hp)
        return super()._register(hyperparameter, overwrite=False)

    def _retrieve(self, hp: Any) -> Any:
        for earlier in self._hps.get(hp.name, ()):
            if earlier.conditions == hp.conditions:
                self.check_redeclared(earlier, hp)
        return super()._retrieve(hp)
