"""Tells the part of each row of a table: by a column of parts, by columns such as ``is_valid``, or by its path."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from searchcnn.data.findings import Finding
from searchcnn.errors import DataError
from searchcnn.sources.parts import PLAIN, doubtful, hinted_part, look_alikes, part_of, speaks_of_parts, split_words

USUAL = ("split", "part", "set", "subset", "partition")
"""Names of columns of parts as people write them, in lower case; the first that holds parts is taken."""
CLEAR = ("split", "partition")
"""Those of them that mean nothing else."""
FOLDS = frozenset({"fold", "folds", "kfold", "crossval", "cv"})
MEANS_TRUE, MEANS_FALSE = {"true", "1", "1.0", "yes", "y", "t"}, {"false", "0", "0.0", "no", "n", "f"}
MOST_VALUES = 30
"""A column of more different values tells no parts."""
MOST_WORDS = 3
"""A longer text tells none."""
REMEDY = "if it does, write train, val and test in each row"
LEAVE_OUT = "write these, or, if it does not tell parts, leave the column out"
IN_SPLIT = "if so, say which image is train, val or test in a column split"

Columns = Mapping[str, Sequence[str]]
"""Cells by the name of their column."""
Folders = Sequence[tuple[str, ...]]
"""The folders that the image of each row lies in."""
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
    folders = _folders(paths)
    told = {name: parts for name, cells in columns.items() if (parts := _told(name, cells))}
    others = {name: cells for name, cells in columns.items() if name not in told}
    usual = next((name for word in USUAL for name in told if name.lower() == word), None)
    if usual:
        division = _by_usual(usual, told, columns[usual])
    elif told:
        division = _by_columns(table, told, {name: columns[name] for name in told})
    else:
        _check_clear(table, columns)
        division = _by_path(paths, folders)
    alike = _look_alikes(folders, others, {*division.parts})
    if alike and not usual:
        raise DataError(f"{table}: {alike[0].what}; {alike[0].remedy}")
    unsaid = {name: cells for name, cells in others.items() if not _agrees(cells, division.parts)}
    doubts = [*_doubts(unsaid), *_doubtful_folders(folders, {*division.parts})]
    findings = [*division.findings, *alike, *_overlooked(paths, folders, division.parts), *doubts]
    return division._replace(findings=findings)


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


def _is_strange(cells: Sequence[str], flag: str | None) -> Sequence[bool]:
    """Tells of each cell of a column whether it does not say what the column is for.

    A word must be a part. Where a column of yes and no says no in so many words, an empty cell says nothing.
    """
    if flag is None:
        return [bool(cell) and part_of(cell) is None for cell in cells]
    says_no = any(cell.lower() in MEANS_FALSE for cell in cells)
    return [says_no and not cell for cell in cells]


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


def _by_usual(usual: str, told: Mapping[str, Parts], cells: Sequence[str]) -> Division:
    """Takes what one column tells."""
    differences = [_difference(usual, told[usual], name, told[name]) for name in told if name != usual]
    return Division(told[usual], _reasons({usual: cells}, told[usual]), [*filter(None, differences)])


def _by_columns(table: Path, told: Mapping[str, Parts], cells: Columns) -> Division:
    """Takes what columns without a usual name tell together."""
    rows = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]
    agreed = [_agreed(table, number, row) for number, row in enumerate(rows, 2)]
    flags = {name: _flag(name, cells[name]) for name in told}
    strange = [any(odd) for odd in zip(*(_is_strange(cells[name], flags[name]) for name in told), strict=True)]
    rest = _rest(flags, agreed)
    parts = [part or (None if odd else rest) for part, odd in zip(agreed, strange, strict=True)]
    names = " and ".join(f"'{name}'" for name in told)
    note = Finding("note", f"parts are those of column{'s' if len(told) > 1 else ''} {names}")
    return Division(parts, _reasons({name: cells[name] for name in told}, parts), [note])


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


def _reasons(cells: Columns, parts: Parts) -> list[str]:
    """Says of rows without a part why they have none."""
    rows = enumerate(parts)
    return ["" if part else ", ".join(_odd(name, cells[name][number]) for name in cells) for number, part in rows]


def _odd(name: str, cell: str) -> str:
    return f"{name} is '{cell}', expected train, validation or test" if cell else f"no {name}"


def _check_clear(table: Path, columns: Columns) -> None:
    """Raises an error where a column can only be meant to tell parts, and tells none."""
    for name, cells in columns.items():
        if name.lower() in CLEAR:
            shown = sorted({cell for cell in cells if cell})
            raise DataError(f"{table}: {_holds(name, shown)}; {LEAVE_OUT}")


def _holds(name: str, values: Sequence[str]) -> str:
    shown = ", ".join(f"'{value}'" for value in values[:4]) or "nothing"
    return f"column '{name}' holds {shown}, expected the parts train, val and test"


def _by_path(paths: Sequence[str], folders: Folders) -> Division:
    """Takes parts from the folders that images lie in, as far as these differ."""
    parts = _folder_parts(folders)
    if {*parts} <= {None, "train"}:
        return Division(["train"] * len(paths), [""] * len(paths), [*_beside_train(paths, parts)])
    rest = None if "train" in parts else "train"
    reasons = ["" if part or rest else "in no folder of a part" for part in parts]
    note = Finding(
        "note", "parts are those of folders in the paths", "", "a column split counts instead if there is one"
    )
    return Division([part or rest for part in parts], reasons, [note])


def _folders(paths: Sequence[str]) -> Folders:
    """Returns the folders of each path, without those that all images share."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    named = [names for names, path in zip(folders, paths, strict=True) if path]
    shared = 0
    while named and all(len(names) > shared for names in named) and len({names[shared] for names in named}) == 1:
        shared += 1
    return [names[shared:] for names in folders]


def _folder_parts(folders: Folders) -> list[str | None]:
    return [next(filter(None, map(part_of, names)), None) for names in folders]


def _beside_train(paths: Sequence[str], parts: Parts) -> Iterator[Finding]:
    """Finds a folder ``train`` in the paths whose images are not the only ones to train on."""
    beside = [path for path, part in zip(paths, parts, strict=True) if path and not part]
    if beside and "train" in parts:
        what = "folder train in the paths may be a part and is not taken for one, as no other is named val or test"
        yield Finding("warning", what, f"beside it {beside[0]}", IN_SPLIT)


def _overlooked(paths: Sequence[str], folders: Folders, parts: Parts) -> Iterator[Finding]:
    """Finds rows that lie in a folder to validate or test on and are taken for something else."""
    told = list(zip(paths, _folder_parts(folders), parts, strict=True))
    for part in ("validation", "test"):
        odd = [path for path, folder, taken in told if folder == part and taken and taken != part]
        if odd:
            what = (
                f"{len(odd):,} row{'' if len(odd) == 1 else 's'} in a folder named {part}, and taken for another part"
            )
            yield Finding("warning", what, ", ".join(odd[:3]), "the column counts; correct it, or move the images")


def _look_alikes(folders: Folders, columns: Columns, told: Set[str | None]) -> list[Finding]:
    """Finds what looks like a part that is not told of any row."""
    found = []
    for name, cells in columns.items():
        values = {*cells} - {""}
        are_most = 2 * sum(hinted_part(value) is not None for value in values) >= len(values)
        if are_most and (alike := _untold(look_alikes(_short(values)), told)):
            found.append(Finding("warning", _holds(name, alike), "", LEAVE_OUT))
    for names in _levels(folders):
        if alike := _untold(look_alikes(names), told):
            what = f"the folders {', '.join(alike[:4])} in the paths look like parts"
            found.append(Finding("warning", what, "", "say which image is train, val or test in a column split"))
    return found


def _doubtful_folders(folders: Folders, told: Set[str | None]) -> Iterator[Finding]:
    """Finds folders in the paths that may be parts that are not told of any row."""
    for names in _levels(folders):
        if odd := _untold([name for name in doubtful(names) if name not in look_alikes(names)], told):
            what = "folders in the paths may be parts that are not used"
            yield Finding("warning", what, ", ".join(odd[:4]), IN_SPLIT)


def _levels(folders: Folders) -> list[set[str]]:
    """Returns the names of folders by depth."""
    return [{one[level] for one in folders if len(one) > level} for level in range(max(map(len, folders), default=0))]


def _untold(names: Sequence[str], told: Set[str | None]) -> Sequence[str]:
    """Returns names if one of them hints at a part that is not told of any row."""
    return names if {hinted_part(name) for name in names} - {"train", *told} else []


def _short(cells: Iterable[str]) -> list[str]:
    return [cell for cell in cells if len(split_words(cell)) <= MOST_WORDS]


def _agrees(cells: Sequence[str], parts: Parts) -> bool:
    """Whether each cell hints at the part that its row has anyway."""
    return all(hinted_part(cell) == part for cell, part in zip(cells, parts, strict=True) if part)


def _doubts(columns: Columns) -> Iterator[Finding]:
    """Finds columns that may tell parts and are not used."""
    for name, cells in columns.items():
        values = sorted({*cells})
        is_short = 2 <= len(values) <= MOST_VALUES
        shown = ", ".join(value or "nothing" for value in values[:4])
        if is_short and {*split_words(name)} & FOLDS:
            what = f"column '{name}' tells the folds of a cross-validation, and is not used"
            yield Finding("warning", what, shown, "say which rows are train, val and test in a column split")
        elif len(values) > 1 and (words := _words_of_parts(values)):
            yield Finding("warning", f"column '{name}' may tell parts, and is not used", ", ".join(words[:4]), REMEDY)
        elif is_short and speaks_of_parts(name):
            yield Finding("warning", f"column '{name}' may tell parts, and is not used", shown, REMEDY)


def _words_of_parts(values: Sequence[str]) -> Sequence[str]:
    """Returns those of some values that are, or look like, parts to validate or test on, or ``train``."""
    return [value for value in values if part_of(value)] or _untold(doubtful(_short(values)), frozenset())
