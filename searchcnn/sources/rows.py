"""Tells the part of each row of a table: by a column of parts, by columns such as ``is_valid``, or by its path."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from searchcnn.data.findings import Finding
from searchcnn.errors import DataError
from searchcnn.sources.parts import (
    PLAIN,
    find_doubtful,
    find_look_alikes,
    guess_part,
    mentions_parts,
    parse_part,
    split_words,
)

SPLIT_COLUMNS = ("split", "part", "set", "subset", "partition")
"""Names of columns of parts as people write them, in lower case; the first that holds parts is taken."""
UNAMBIGUOUS = ("split", "partition")
"""Those of them that mean nothing else."""
FOLD_WORDS = frozenset({"fold", "folds", "kfold", "crossval", "cv"})
MEANS_TRUE, MEANS_FALSE = {"true", "1", "1.0", "yes", "y", "t"}, {"false", "0", "0.0", "no", "n", "f"}
MAX_VALUES = 30
"""A column of more different values tells no parts."""
MAX_WORDS = 3
"""A longer text tells none."""
FILL_COLUMN = "if it does, write train, val and test in each row"
FIX_COLUMN = "write these, or, if it does not tell parts, leave the column out"
ADD_SPLIT = "if so, say which image is train, val or test in a column split"

Columns = Mapping[str, Sequence[str]]
"""Cells by the name of their column."""
Folders = Sequence[tuple[str, ...]]
"""The folders that the image of each row lies in."""
Parts = Sequence[str | None]
"""The part of each row, if it is known."""


class Assignment(NamedTuple):
    """The parts of rows.

    Attributes:
        parts: That of each row; None where it cannot be told.
        reasons: Why it cannot; empty where it can.
        findings: How they were told, and what is odd.
    """

    parts: Parts
    reasons: Sequence[str]
    findings: Sequence[Finding]


def assign_parts(table: Path, paths: Sequence[str], columns: Columns) -> Assignment:
    """Tells the part of each row; all are to train on where nothing speaks of parts.

    Args:
        table: The table, for messages.
        paths: Of the images.
        columns: The other columns, without that of labels.

    Raises:
        DataError: If parts are meant and cannot be told.
    """
    folders = _list_folders(paths)
    told = {name: parts for name, cells in columns.items() if (parts := _read_column(name, cells))}
    others = {name: cells for name, cells in columns.items() if name not in told}
    usual = next((name for word in SPLIT_COLUMNS for name in told if name.lower() == word), None)
    if usual:
        division = _assign_by_column(usual, told, columns[usual])
    elif told:
        division = _assign_by_columns(table, told, {name: columns[name] for name in told})
    else:
        _check_unambiguous(table, columns)
        division = _assign_by_path(paths, folders)
    alike = _find_look_alikes(folders, others, {*division.parts})
    if alike and not usual:
        raise DataError(f"{table}: {alike[0].what}; {alike[0].remedy}")
    unsaid = {name: cells for name, cells in others.items() if not _agrees(cells, division.parts)}
    doubts = [*_find_doubtful_columns(unsaid), *_find_doubtful_folders(folders, {*division.parts})]
    findings = [*division.findings, *alike, *_find_overlooked(paths, folders, division.parts), *doubts]
    return division._replace(findings=findings)


def _read_column(name: str, cells: Sequence[str]) -> list[str | None] | None:
    """Returns the parts that a column tells, of yes and no only those of yes; None if it tells none."""
    if flag := _find_flag(name, cells):
        return [flag if cell.lower() in MEANS_TRUE else None for cell in cells]
    return [parse_part(cell) for cell in cells] if _holds_parts(name, cells) else None


def _find_flag(name: str, cells: Sequence[str]) -> str | None:
    """Returns the part that a column of yes and no speaks of: ``is_valid``, ``test``, ``is_training_image``."""
    values = {cell.lower() for cell in {*cells} if cell}
    is_flag = bool(values) and values <= MEANS_TRUE | MEANS_FALSE and name.lower() != "valid"
    return _parse_flag_name(name) if is_flag else None


def _find_strange(cells: Sequence[str], flag: str | None) -> Sequence[bool]:
    """Tells of each cell of a column whether it does not say what the column is for.

    A word must be a part. Where a column of yes and no says no in so many words, an empty cell says nothing.
    """
    if flag is None:
        return [bool(cell) and parse_part(cell) is None for cell in cells]
    says_no = any(cell.lower() in MEANS_FALSE for cell in cells)
    return [says_no and not cell for cell in cells]


def _parse_flag_name(name: str) -> str | None:
    """Returns the part that the name of a column asks for."""
    words = [word for word in split_words(name) if word not in PLAIN]
    return parse_part(words[1]) if len(words) == 2 and words[0] in ("is", "in", "for") else parse_part(name)


def _holds_parts(name: str, cells: Sequence[str]) -> bool:
    """Whether the cells of a column are parts, whatever its name is."""
    values = {*cells}
    known = {part for value in values if (part := parse_part(value))}
    if name.lower() in SPLIT_COLUMNS:
        return bool(known)
    if all(parse_part(value) for value in values if value):
        return "test" in known or (len(values) > 1 and bool(known - {"train"}))
    return "train" in known and len(known) > 1


def _find_difference(name: str, parts: Parts, other: str, told: Parts) -> Finding | None:
    """Says where a column tells another part than the one that is taken."""
    rows = [number for number, (one, two) in enumerate(zip(parts, told, strict=True)) if one and two and one != two]
    if not rows:
        return None
    what = f"column '{other}' differs from '{name}' in {len(rows):,} row{'' if len(rows) == 1 else 's'}"
    example = f"row {rows[0] + 2}: {told[rows[0]]}, not {parts[rows[0]]}"
    return Finding("warning", what, example, f"'{name}' is taken; correct or delete the other")


def _assign_by_column(usual: str, told: Mapping[str, Parts], cells: Sequence[str]) -> Assignment:
    """Takes what one column tells."""
    differences = [_find_difference(usual, told[usual], name, told[name]) for name in told if name != usual]
    return Assignment(told[usual], _explain_missing({usual: cells}, told[usual]), [*filter(None, differences)])


def _assign_by_columns(table: Path, told: Mapping[str, Parts], cells: Columns) -> Assignment:
    """Takes what columns without a usual name tell together."""
    rows = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]
    agreed = [_combine(table, number, row) for number, row in enumerate(rows, 2)]
    flags = {name: _find_flag(name, cells[name]) for name in told}
    strange = [any(odd) for odd in zip(*(_find_strange(cells[name], flags[name]) for name in told), strict=True)]
    rest = _choose_default(flags, agreed)
    parts = [part or (None if odd else rest) for part, odd in zip(agreed, strange, strict=True)]
    names = " and ".join(f"'{name}'" for name in told)
    note = Finding("note", f"parts are those of column{'s' if len(told) > 1 else ''} {names}")
    return Assignment(parts, _explain_missing({name: cells[name] for name in told}, parts), [note])


def _combine(table: Path, number: int, row: Mapping[str, str | None]) -> str | None:
    """Returns the part that columns tell of a row; of images to train on, some may be there to validate."""
    told = {part for part in row.values() if part}
    if "test" in told and len(told) > 1:
        what = " and ".join(f"{part} by '{name}'" for name, part in row.items() if part)
        raise DataError(f"{table}: row {number} is {what}; correct that, or call the column that counts 'split'")
    return "validation" if "validation" in told else next(iter(told), None)


def _choose_default(flags: Mapping[str, str | None], agreed: Sequence[str | None]) -> str | None:
    """Returns the part of the rows that no column tells one of."""
    if "train" not in (*flags.values(), *agreed):
        return "train"
    return "test" if "train" in flags.values() and "test" not in agreed else None


def _explain_missing(cells: Columns, parts: Parts) -> list[str]:
    """Says of rows without a part why they have none."""
    rows = enumerate(parts)
    return [
        "" if part else ", ".join(_explain_cell(name, cells[name][number]) for name in cells) for number, part in rows
    ]


def _explain_cell(name: str, cell: str) -> str:
    return f"{name} is '{cell}', expected train, validation or test" if cell else f"no {name}"


def _check_unambiguous(table: Path, columns: Columns) -> None:
    """Raises an error where a column can only be meant to tell parts, and tells none."""
    for name, cells in columns.items():
        if name.lower() in UNAMBIGUOUS:
            shown = sorted({cell for cell in cells if cell})
            raise DataError(f"{table}: {_describe_column(name, shown)}; {FIX_COLUMN}")


def _describe_column(name: str, values: Sequence[str]) -> str:
    shown = ", ".join(f"'{value}'" for value in values[:4]) or "nothing"
    return f"column '{name}' holds {shown}, expected the parts train, val and test"


def _assign_by_path(paths: Sequence[str], folders: Folders) -> Assignment:
    """Takes parts from the folders that images lie in, as far as these differ."""
    parts = _parse_folders(folders)
    if {*parts} <= {None, "train"}:
        return Assignment(["train"] * len(paths), [""] * len(paths), [*_find_images_beside_train(paths, parts)])
    rest = None if "train" in parts else "train"
    reasons = ["" if part or rest else "in no folder of a part" for part in parts]
    note = Finding(
        "note", "parts are those of folders in the paths", "", "a column split counts instead if there is one"
    )
    return Assignment([part or rest for part in parts], reasons, [note])


def _list_folders(paths: Sequence[str]) -> Folders:
    """Returns the folders of each path, without those that all images share."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    named = [names for names, path in zip(folders, paths, strict=True) if path]
    shared = 0
    while named and all(len(names) > shared for names in named) and len({names[shared] for names in named}) == 1:
        shared += 1
    return [names[shared:] for names in folders]


def _parse_folders(folders: Folders) -> list[str | None]:
    return [next(filter(None, map(parse_part, names)), None) for names in folders]


def _find_images_beside_train(paths: Sequence[str], parts: Parts) -> Iterator[Finding]:
    """Finds a folder ``train`` in the paths whose images are not the only ones to train on."""
    beside = [path for path, part in zip(paths, parts, strict=True) if path and not part]
    if beside and "train" in parts:
        what = "folder train in the paths may be a part and is not taken for one, as no other is named val or test"
        yield Finding("warning", what, f"beside it {beside[0]}", ADD_SPLIT)


def _find_overlooked(paths: Sequence[str], folders: Folders, parts: Parts) -> Iterator[Finding]:
    """Finds rows that lie in a folder to validate or test on and are taken for something else."""
    told = list(zip(paths, _parse_folders(folders), parts, strict=True))
    for part in ("validation", "test"):
        odd = [path for path, folder, taken in told if folder == part and taken and taken != part]
        if odd:
            what = (
                f"{len(odd):,} row{'' if len(odd) == 1 else 's'} in a folder named {part}, and taken for another part"
            )
            yield Finding("warning", what, ", ".join(odd[:3]), "the column counts; correct it, or move the images")


def _find_look_alikes(folders: Folders, columns: Columns, told: Set[str | None]) -> list[Finding]:
    """Finds what looks like a part that is not told of any row."""
    found = []
    for name, cells in columns.items():
        values = {*cells} - {""}
        are_most = 2 * sum(guess_part(value) is not None for value in values) >= len(values)
        if are_most and (alike := _drop_known(find_look_alikes(_drop_long(values)), told)):
            found.append(Finding("warning", _describe_column(name, alike), "", FIX_COLUMN))
    for names in _list_levels(folders):
        if alike := _drop_known(find_look_alikes(names), told):
            what = f"the folders {', '.join(alike[:4])} in the paths look like parts"
            found.append(Finding("warning", what, "", "say which image is train, val or test in a column split"))
    return found


def _find_doubtful_folders(folders: Folders, told: Set[str | None]) -> Iterator[Finding]:
    """Finds folders in the paths that may be parts that are not told of any row."""
    for names in _list_levels(folders):
        if odd := _drop_known([name for name in find_doubtful(names) if name not in find_look_alikes(names)], told):
            what = "folders in the paths may be parts that are not used"
            yield Finding("warning", what, ", ".join(odd[:4]), ADD_SPLIT)


def _list_levels(folders: Folders) -> list[set[str]]:
    """Returns the names of folders by depth."""
    return [{one[level] for one in folders if len(one) > level} for level in range(max(map(len, folders), default=0))]


def _drop_known(names: Sequence[str], told: Set[str | None]) -> Sequence[str]:
    """Returns names if one of them hints at a part that is not told of any row."""
    return names if {guess_part(name) for name in names} - {"train", *told} else []


def _drop_long(cells: Iterable[str]) -> list[str]:
    return [cell for cell in cells if len(split_words(cell)) <= MAX_WORDS]


def _agrees(cells: Sequence[str], parts: Parts) -> bool:
    """Whether each cell hints at the part that its row has anyway."""
    return all(guess_part(cell) == part for cell, part in zip(cells, parts, strict=True) if part)


def _find_doubtful_columns(columns: Columns) -> Iterator[Finding]:
    """Finds columns that may tell parts and are not used."""
    for name, cells in columns.items():
        values = sorted({*cells})
        is_short = 2 <= len(values) <= MAX_VALUES
        shown = ", ".join(value or "nothing" for value in values[:4])
        if is_short and {*split_words(name)} & FOLD_WORDS:
            what = f"column '{name}' tells the folds of a cross-validation, and is not used"
            yield Finding("warning", what, shown, "say which rows are train, val and test in a column split")
        elif len(values) > 1 and (words := _find_part_words(values)):
            yield Finding(
                "warning", f"column '{name}' may tell parts, and is not used", ", ".join(words[:4]), FILL_COLUMN
            )
        elif is_short and mentions_parts(name):
            yield Finding("warning", f"column '{name}' may tell parts, and is not used", shown, FILL_COLUMN)


def _find_part_words(values: Sequence[str]) -> Sequence[str]:
    """Returns those of some values that are, or look like, parts to validate or test on, or ``train``."""
    return [value for value in values if parse_part(value)] or _drop_known(
        find_doubtful(_drop_long(values)), frozenset()
    )
