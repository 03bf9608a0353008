"""Chooses some of the classes of a dataset."""

from collections.abc import Sequence

from searchcnn.errors import DataError, nearest


def select_classes(classes: int | Sequence[str] | None, class_names: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Returns the names of the classes that a study wants.

    Args:
        classes: The first so many, or their names; None for all.
        class_names: Name of each class by label.
        source: Where the dataset is, for messages.

    Raises:
        DataError: If there are not so many, or none of a name.
    """
    if classes is None:
        return class_names
    if isinstance(classes, int):
        if classes > len(class_names):
            raise DataError(
                f"data.classes = {classes}, but {source} holds {len(class_names)} classes; expected 2 to "
                f"{len(class_names)}, or leave data.classes out for all"
            )
        return class_names[:classes]
    if unknown := [name for name in classes if name not in class_names]:
        hint = nearest(unknown[0], class_names) or f"; known: {', '.join(class_names)}"
        raise DataError(f"data.classes: no class '{unknown[0]}' in {source}{hint}")
    return tuple(classes)
