"""Our search: the study of these images, if there is one, or else what is proposed for them."""

import os

from common import FOLDER, IMAGES, MODEL, SECONDS, SEED, Record

import searchcnn
from searchcnn.events import EpochFinished, Event

RECORD = Record()


def hear(event: Event) -> None:
    if isinstance(event, EpochFinished):
        RECORD.note(event.best)


def main() -> None:
    like, weights = os.environ.get("LIKE"), os.environ.get("WEIGHTS")
    study = searchcnn.Study(
        "benchmark", data=IMAGES, like=like, weights=weights, settings={"seed": SEED}, workspace=FOLDER
    )
    study.optimize(timeout=SECONDS, hear=hear)
    study.model_path.rename(MODEL)
    best = study.best
    assert best is not None
    RECORD.write(trials=len(study.trials), best=best.number, origin=best.facts.get("origin", ""))


if __name__ == "__main__":
    main()
