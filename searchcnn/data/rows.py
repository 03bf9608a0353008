"""Tells the part of each row of a table: by a column of parts, by columns such as ``is_valid``, or by its path."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from searchcnn.data.parts import PLAIN, look_alikes, part_of, split_words
from searchcnn.data.report import Finding
from searchcnn.errors import DataError

USUAL = ("split", "part", "set", "subset", "partition")
"""Names of columns of parts as people write them, in lower case; the first that holds parts is taken."""
SUSPECT = frozenset({*USUAL, "dataset", "phase", "stage", "usage", "purpose", "holdout"})
"""Words in the name of a column that may tell parts."""
FOLDS = frozenset({"fold", "folds", "kfold", "cv"})
MEANS_TRUE, MEANS_FALSE = {"true", "1", "1.0", "yes", "y", "t"}, {"false", "0", "0.0", "no", "n", "f"}
MOST_VALUES = 30
"""A column of more different values tells no parts."""
MOST_WORDS = 3
"""A longer text tells none."""
REMEDY = "if it does, write train, val and test in each row"

Columns = Mapping[str, Sequence[str]]
"""Cells by the name of their column."""
Parts = Sequence[str | None]
"""The part of each row, if it is known."""


class Division(NamedTuple):
    """The parts of rows.

    Attributes:
        parts: That of each row; None where it cannot be told.
        reasons: Why it cannot; empty where it can.
        findings: How they were told, and what is odd.
    """

    parts: Parts
    reasons: Sequence[str]
    findings: Sequence[Finding]


def divide_rows(table: Path, paths: Sequence[str], columns: Columns) -> Division:
    """Tells the part of each row; all are to train on where nothing speaks of parts.

    Args:
        table: The table, for messages.
        paths: Of the images.
        columns: The other columns, without that of labels.

    Raises:
        DataError: If parts are meant and cannot be told.
    """
    told = {name: parts for name, cells in columns.items() if (parts := _told(name, cells))}
    first = next((name for usual in USUAL for name in told if name.lower() == usual), None)
    strays = [*_strays({name: cells for name, cells in columns.items() if name not in told})]
    if first:
        differences = [_difference(first, told[first], name, told[name]) for name in told if name != first]
        reasons = _reasons({first: columns[first]}, told[first])
        return Division(told[first], reasons, [*filter(None, differences), *strays])
    if told:
        return _by_columns(table, told, {name: columns[name] for name in told}, strays)
    _check_none_meant(table, columns)
    return _by_path(table, paths, [*_doubts(columns), *strays])


def _told(name: str, cells: Sequence[str]) -> list[str | None] | None:
    """Returns the parts that a column tells, of yes and no only those of yes; None if it tells none."""
    if flag := _flag(name, cells):
        return [flag if cell.lower() in MEANS_TRUE else None for cell in cells]
    return [part_of(cell) for cell in cells] if _holds_parts(name, cells) else None


def _flag(name: str, cells: Sequence[str]) -> str | None:
    """Returns the part that a column of yes and no speaks of: ``is_valid``, ``test``, ``is_training_image``."""
    values = {cell.lower() for cell in {*cells} if cell}
    is_flag = bool(values) and values <= MEANS_TRUE | MEANS_FALSE and name.lower() != "valid"
    return _asked(name) if is_flag else None


def _says_no(cells: Sequence[str]) -> bool:
    """Whether a column of yes and no says no in so many words: an empty cell then says nothing."""
    return any(cell.lower() in MEANS_FALSE for cell in cells)


def _asked(name: str) -> str | None:
    """Returns the part that the name of a column asks for."""
    words = [word for word in split_words(name) if word not in PLAIN]
    return part_of(words[1]) if len(words) == 2 and words[0] in ("is", "in", "for") else part_of(name)


def _holds_parts(name: str, cells: Sequence[str]) -> bool:
    """Whether the cells of a column are parts, whatever its name is."""
    values = {*cells}
    known = {part for value in values if (part := part_of(value))}
    if name.lower() in USUAL:
        return bool(known)
    if all(part_of(value) for value in values if value):
        return "test" in known or (len(values) > 1 and bool(known - {"train"}))
    return "train" in known and len(known) > 1


def _difference(name: str, parts: Parts, other: str, told: Parts) -> Finding | None:
    """Says where a column tells another part than the one that is taken."""
    rows = [number for number, (one, two) in enumerate(zip(parts, told, strict=True)) if one and two and one != two]
    if not rows:
        return None
    what = f"column '{other}' differs from '{name}' in {len(rows):,} row{'' if len(rows) == 1 else 's'}"
    example = f"row {rows[0] + 2}: {told[rows[0]]}, not {parts[rows[0]]}"
    return Finding("warning", what, example, f"'{name}' is taken; correct or delete the other")


def _by_columns(table: Path, told: Mapping[str, Parts], cells: Columns, strays: Sequence[Finding]) -> Division:
    """Takes what columns without a usual name tell together."""
    rows = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]
    agreed = [_agreed(table, number, row) for number, row in enumerate(rows, 2)]
    words = {name: cells[name] for name in told if not _flag(name, cells[name])}
    flags = {name: cells[name] for name in told if _flag(name, cells[name]) and _says_no(cells[name])}
    strange = [
        any(cell and not part_of(cell) for cell in said) or not all(asked)
        for said, asked in zip(_rows(words, len(rows)), _rows(flags, len(rows)), strict=True)
    ]
    rest = _rest({name: _flag(name, cells[name]) for name in told}, agreed)
    parts = [part or (None if odd else rest) for part, odd in zip(agreed, strange, strict=True)]
    names = " and ".join(f"'{name}'" for name in told)
    note = Finding("note", f"parts are those of column{'s' if len(told) > 1 else ''} {names}")
    return Division(parts, _reasons({name: cells[name] for name in told}, parts), [note, *strays])


def _agreed(table: Path, number: int, row: Mapping[str, str | None]) -> str | None:
    """Returns the part that columns tell of a row; of images to train on, some may be there to validate."""
    told = {part for part in row.values() if part}
    if "test" in told and len(told) > 1:
        what = " and ".join(f"{part} by '{name}'" for name, part in row.items() if part)
        raise DataError(f"{table}: row {number} is {what}; correct that, or call the column that counts 'split'")
    return "validation" if "validation" in told else next(iter(told), None)


def _rest(flags: Mapping[str, str | None], agreed: Sequence[str | None]) -> str | None:
    """Returns the part of the rows that no column tells one of."""
    if "train" not in (*flags.values(), *agreed):
        return "train"
    return "test" if "train" in flags.values() and "test" not in agreed else None


def _rows(cells: Columns, count: int) -> Sequence[Sequence[str]]:
    return list(zip(*cells.values(), strict=True)) if cells else [()] * count


def _reasons(cells: Columns, parts: Parts) -> list[str]:
    """Says of rows without a part why they have none."""
    rows = enumerate(parts)
    return ["" if part else ", ".join(_odd(name, cells[name][number]) for name in cells) for number, part in rows]


def _odd(name: str, cell: str) -> str:
    return f"{name} is '{cell}', expected train, validation or test" if cell else f"no {name}"


def _check_none_meant(table: Path, columns: Columns) -> None:
    for name, cells in columns.items():
        values = sorted({cell for cell in cells if cell})
        alike = look_alikes(value for value in values[: MOST_VALUES + 1] if len(split_words(value)) <= MOST_WORDS)
        are_most = 2 * sum(value in alike or part_of(value) is not None for value in values) >= len(values)
        if name.lower() in USUAL or (alike and are_most):
            shown = ", ".join(f"'{value}'" for value in (alike or values)[:4]) or "nothing"
            raise DataError(
                f"{table}: column '{name}' holds {shown}, expected the parts train, val and test; write these, or, if "
                "it does not tell parts, leave the column out"
            )


def _by_path(table: Path, paths: Sequence[str], doubts: Sequence[Finding]) -> Division:
    """Takes parts from the folders that images lie in, as far as these differ."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths if path]
    shared = 0
    while folders and all(len(names) > shared for names in folders) and len({names[shared] for names in folders}) == 1:
        shared += 1
    for level in range(max(map(len, folders), default=0)):
        if alike := look_alikes({names[level] for names in folders if len(names) > level >= shared}):
            raise DataError(
                f"{table}: the folders {', '.join(alike[:4])} in the paths look like parts; say which image is train, "
                "val or test in a column split"
            )
    parts = [next(filter(None, map(part_of, PurePosixPath(path).parts[shared:-1])), None) for path in paths]
    if {*parts} <= {None, "train"}:
        return Division(["train"] * len(paths), [""] * len(paths), doubts)
    rest = None if "train" in parts else "train"
    reasons = ["" if part or rest else "in no folder of a part" for part in parts]
    note = Finding(
        "note", "parts are those of folders in the paths", "", "a column split counts instead if there is one"
    )
    return Division([part or rest for part in parts], reasons, [note, *doubts])


def _doubts(columns: Columns) -> Iterator[Finding]:
    """Finds columns that may tell parts and are not used."""
    for name, cells in columns.items():
        values = sorted({*cells})
        words, is_short = {*split_words(name)}, 2 <= len(values) <= MOST_VALUES
        shown = ", ".join(value or "nothing" for value in values[:4])
        if is_short and words & FOLDS:
            what = f"column '{name}' tells the folds of a cross-validation, and is not used"
            yield Finding("warning", what, shown, "say which rows are train, val and test in a column split")
        elif is_short and (words & SUSPECT or _asked(name)) and not _unseen(cells):
            yield Finding("warning", f"column '{name}' may tell parts, and is not used", shown, REMEDY)


def _strays(columns: Columns) -> Iterator[Finding]:
    """Finds columns that are not used although they speak of images to validate or test on."""
    for name, cells in columns.items():
        if unseen := _unseen(cells):
            what, shown = f"column '{name}' may tell parts, and is not used", ", ".join(unseen[:4])
            yield Finding("warning", what, shown, REMEDY)


def _unseen(cells: Sequence[str]) -> list[str]:
    return sorted({cell for cell in {*cells} if part_of(cell) in ("validation", "test")})
