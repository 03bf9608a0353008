"""Assigns parts to the rows of a table: by a column of parts, by columns such as ``is_valid``, or by the paths."""

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
from searchcnn.text import format_count

SPLIT_COLUMNS = ("split", "part", "set", "subset", "partition")
"""Names of columns of parts as people write them, in lower case; the first one that holds parts is used."""
UNAMBIGUOUS = ("split", "partition")
"""Those of them that mean nothing else."""
FOLD_WORDS = frozenset({"fold", "folds", "kfold", "crossval", "cv"})
MEANS_TRUE, MEANS_FALSE = {"true", "1", "1.0", "yes", "y", "t"}, {"false", "0", "0.0", "no", "n", "f"}
MAX_VALUES = 30
"""A column with more different values does not hold parts."""
MAX_WORDS = 3
"""A longer text is not a part."""
FILL_COLUMN = "if it does, write train, val or test in each row"
FIX_COLUMN = "use these words, or remove the column if it does not hold parts"
ADD_SPLIT = "add a column split of train, val and test"

Columns = Mapping[str, Sequence[str]]
"""Cells by the name of their column."""
Folders = Sequence[tuple[str, ...]]
"""The folders in the path of each row's image."""
Parts = Sequence[str | None]
"""The part of each row, if it is known."""


class Assignment(NamedTuple):
    """The parts of rows.

    Attributes:
        parts: The part of each row; None if it is unknown.
        reasons: Why it is unknown; empty if it is known.
        findings: Where the parts come from, and what is odd.
    """

    parts: Parts
    reasons: Sequence[str]
    findings: Sequence[Finding]


def assign_parts(table: Path, paths: Sequence[str], columns: Columns) -> Assignment:
    """Assigns a part to each row; without any sign of parts, all are to train on.

    Args:
        table: The table, for messages.
        paths: Paths of the images.
        columns: The other columns, without the labels.

    Raises:
        DataError: If the table seems to have parts that cannot be understood.
    """
    folders = _list_folders(paths)
    parts_by_column = {name: parts for name, cells in columns.items() if (parts := _read_column(name, cells))}
    others = {name: cells for name, cells in columns.items() if name not in parts_by_column}
    split = next((name for word in SPLIT_COLUMNS for name in parts_by_column if name.lower() == word), None)
    if split:
        assignment = _assign_by_column(split, parts_by_column, columns[split])
    elif parts_by_column:
        assignment = _assign_by_columns(table, parts_by_column, {name: columns[name] for name in parts_by_column})
    else:
        _check_unambiguous(table, columns)
        assignment = _assign_by_path(paths, folders)
    part_names = {*assignment.parts}
    look_alikes = _find_look_alikes(folders, others, part_names)
    if look_alikes and not split:
        raise DataError(f"{table}: {look_alikes[0].what}; {look_alikes[0].remedy}")
    differing = {name: cells for name, cells in others.items() if not _agrees(cells, assignment.parts)}
    findings = [
        *assignment.findings,
        *look_alikes,
        *_find_overlooked(paths, folders, assignment.parts),
        *_find_doubtful_columns(differing),
        *_find_doubtful_folders(folders, part_names),
    ]
    return assignment._replace(findings=findings)


def _read_column(name: str, cells: Sequence[str]) -> list[str | None] | None:
    """Returns the parts in a column, of a yes-or-no column only those of yes; None if it holds no parts."""
    if flag := _find_flag(name, cells):
        return [flag if cell.lower() in MEANS_TRUE else None for cell in cells]
    return [parse_part(cell) for cell in cells] if _holds_parts(name, cells) else None


def _find_flag(name: str, cells: Sequence[str]) -> str | None:
    """Returns the part that a yes-or-no column is about: ``is_valid``, ``test``, ``is_training_image``."""
    values = {cell.lower() for cell in {*cells} if cell}
    is_flag = bool(values) and values <= MEANS_TRUE | MEANS_FALSE and name.lower() != "valid"
    return _parse_flag_name(name) if is_flag else None


def _find_unclear(cells: Sequence[str], flag: str | None) -> Sequence[bool]:
    """Returns for each cell of a column whether it fails to say what the column is for.

    A word must be a part. In a yes-or-no column in which "no" occurs, an empty cell says nothing.
    """
    if flag is None:
        return [bool(cell) and parse_part(cell) is None for cell in cells]
    has_no = any(cell.lower() in MEANS_FALSE for cell in cells)
    return [has_no and not cell for cell in cells]


def _parse_flag_name(name: str) -> str | None:
    """Returns the part that the name of a column asks about."""
    words = [word for word in split_words(name) if word not in PLAIN]
    return parse_part(words[1]) if len(words) == 2 and words[0] in ("is", "in", "for") else parse_part(name)


def _holds_parts(name: str, cells: Sequence[str]) -> bool:
    """Whether the cells of a column are parts, whatever its name is."""
    values = {*cells}
    parts = {part for value in values if (part := parse_part(value))}
    if name.lower() in SPLIT_COLUMNS:
        return bool(parts)
    if all(parse_part(value) for value in values if value):
        return "test" in parts or (len(values) > 1 and bool(parts - {"train"}))
    return "train" in parts and len(parts) > 1


def _assign_by_column(split: str, parts_by_column: Mapping[str, Parts], cells: Sequence[str]) -> Assignment:
    """Uses the parts in one column."""
    parts = parts_by_column[split]
    differences = [
        _find_difference(split, parts, name, others) for name, others in parts_by_column.items() if name != split
    ]
    return Assignment(parts, _explain_missing({split: cells}, parts), [*filter(None, differences)])


def _find_difference(name: str, parts: Parts, other_name: str, others: Parts) -> Finding | None:
    """Finds rows in which another column holds another part than the column that is used."""
    pairs = enumerate(zip(parts, others, strict=True))
    rows = [row for row, (part, other) in pairs if part and other and part != other]
    if not rows:
        return None
    what = f"column '{other_name}' differs from '{name}' in {format_count(len(rows), 'row')}"
    example = f"row {rows[0] + 2}: {others[rows[0]]}, not {parts[rows[0]]}"
    return Finding("warning", what, example, f"'{name}' is used; correct or delete the other")


def _assign_by_columns(table: Path, parts_by_column: Mapping[str, Parts], cells: Columns) -> Assignment:
    """Combines the parts in columns with other names."""
    rows = [dict(zip(parts_by_column, row, strict=True)) for row in zip(*parts_by_column.values(), strict=True)]
    combined = [_combine(table, number, row) for number, row in enumerate(rows, 2)]
    flags = {name: _find_flag(name, cells[name]) for name in cells}
    unclear = [any(row) for row in zip(*(_find_unclear(cells[name], flags[name]) for name in cells), strict=True)]
    default = _choose_default(flags, combined)
    parts = [part or (None if is_unclear else default) for part, is_unclear in zip(combined, unclear, strict=True)]
    names = " and ".join(f"'{name}'" for name in cells)
    note = Finding("note", f"parts are taken from column{'s' if len(cells) > 1 else ''} {names}")
    return Assignment(parts, _explain_missing(cells, parts), [note])


def _combine(table: Path, number: int, row: Mapping[str, str | None]) -> str | None:
    """Returns the part of a row by all columns; images to train on may at the same time be some to validate on."""
    parts = {part for part in row.values() if part}
    if "test" in parts and len(parts) > 1:
        what = " and ".join(f"{part} by '{name}'" for name, part in row.items() if part)
        raise DataError(f"{table}: row {number} is {what}; correct that, or name the column that counts 'split'")
    return "validation" if "validation" in parts else next(iter(parts), None)


def _choose_default(flags: Mapping[str, str | None], parts: Parts) -> str | None:
    """Returns the part of the rows for which no column names one."""
    if "train" not in (*flags.values(), *parts):
        return "train"
    return "test" if "train" in flags.values() and "test" not in parts else None


def _explain_missing(columns: Columns, parts: Parts) -> list[str]:
    """Returns for each row why it has no part; empty if it has one."""
    return [
        "" if part else ", ".join(_explain_cell(name, cells[row]) for name, cells in columns.items())
        for row, part in enumerate(parts)
    ]


def _explain_cell(name: str, cell: str) -> str:
    return f"{name} is '{cell}', expected train, validation or test" if cell else f"no {name}"


def _check_unambiguous(table: Path, columns: Columns) -> None:
    """Raises an error if a column that can only be meant for parts does not hold any."""
    for name, cells in columns.items():
        if name.lower() in UNAMBIGUOUS:
            values = sorted({cell for cell in cells if cell})
            raise DataError(f"{table}: {_describe_column(name, values)}; {FIX_COLUMN}")


def _describe_column(name: str, values: Sequence[str]) -> str:
    examples = ", ".join(f"'{value}'" for value in values[:4]) or "nothing"
    return f"column '{name}' holds {examples}, expected the parts train, val and test"


def _assign_by_path(paths: Sequence[str], folders: Folders) -> Assignment:
    """Takes parts from the folders in the paths, if these differ."""
    parts = _parse_folders(folders)
    if {*parts} <= {None, "train"}:
        return Assignment(["train"] * len(paths), [""] * len(paths), [*_find_images_beside_train(paths, parts)])
    default = None if "train" in parts else "train"
    reasons = ["" if part or default else "outside the folders of parts" for part in parts]
    what, remedy = "parts are taken from the folders in the paths", "a column split would take precedence"
    return Assignment([part or default for part in parts], reasons, [Finding("note", what, "", remedy)])


def _list_folders(paths: Sequence[str]) -> Folders:
    """Returns the folders in each path, without those that all images share."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    nonempty = [names for names, path in zip(folders, paths, strict=True) if path]
    shared = 0
    while nonempty and all(len(names) > shared for names in nonempty) and len({row[shared] for row in nonempty}) == 1:
        shared += 1
    return [names[shared:] for names in folders]


def _parse_folders(folders: Folders) -> list[str | None]:
    return [next(filter(None, map(parse_part, names)), None) for names in folders]


def _find_images_beside_train(paths: Sequence[str], parts: Parts) -> Iterator[Finding]:
    """Finds a folder ``train`` in the paths whose images are not the only ones to train on."""
    others = [path for path, part in zip(paths, parts, strict=True) if path and not part]
    if others and "train" in parts:
        what = "folder train in the paths may be a part but is not taken for one, as no folder is named val or test"
        yield Finding("warning", what, f"next to it {others[0]}", f"if so, {ADD_SPLIT}")


def _find_overlooked(paths: Sequence[str], folders: Folders, parts: Parts) -> Iterator[Finding]:
    """Finds rows in a folder to validate or test on that have another part."""
    rows = list(zip(paths, _parse_folders(folders), parts, strict=True))
    for name in ("validation", "test"):
        overlooked = [path for path, folder, part in rows if folder == name and part and part != name]
        if overlooked:
            count = f"{len(overlooked):,} row{' is' if len(overlooked) == 1 else 's are'}"
            what = f"{count} in a folder named {name} but taken for another part"
            yield Finding(
                "warning", what, ", ".join(overlooked[:3]), "the column counts; correct it, or move the images"
            )


def _find_look_alikes(folders: Folders, columns: Columns, part_names: Set[str | None]) -> list[Finding]:
    """Finds what looks like a part that no row has."""
    findings = []
    for name, cells in columns.items():
        values = {*cells} - {""}
        are_most = 2 * sum(guess_part(value) is not None for value in values) >= len(values)
        if are_most and (alike := _keep_unused(find_look_alikes(_drop_long(values)), part_names)):
            findings.append(Finding("warning", _describe_column(name, alike), "", FIX_COLUMN))
    for names in _list_levels(folders):
        if alike := _keep_unused(find_look_alikes(names), part_names):
            what = f"the folders {', '.join(alike[:4])} in the paths look like parts"
            findings.append(Finding("warning", what, "", ADD_SPLIT))
    return findings


def _find_doubtful_folders(folders: Folders, part_names: Set[str | None]) -> Iterator[Finding]:
    """Finds folders in the paths that may be parts that no row has."""
    for names in _list_levels(folders):
        doubtful = [name for name in find_doubtful(names) if name not in find_look_alikes(names)]
        if doubtful := _keep_unused(doubtful, part_names):
            what = "folders in the paths may be parts but are not used"
            yield Finding("warning", what, ", ".join(doubtful[:4]), f"if so, {ADD_SPLIT}")


def _list_levels(folders: Folders) -> list[set[str]]:
    """Returns the names of folders by depth."""
    depth = max(map(len, folders), default=0)
    return [{names[level] for names in folders if len(names) > level} for level in range(depth)]


def _keep_unused(names: Sequence[str], part_names: Set[str | None]) -> list[str]:
    """Returns the names if one of them hints at a part that no row has; else none."""
    return list(names) if {guess_part(name) for name in names} - {"train", *part_names} else []


def _drop_long(cells: Iterable[str]) -> list[str]:
    return [cell for cell in cells if len(split_words(cell)) <= MAX_WORDS]


def _agrees(cells: Sequence[str], parts: Parts) -> bool:
    """Whether each cell hints at the part that its row has anyway."""
    return all(guess_part(cell) == part for cell, part in zip(cells, parts, strict=True) if part)


def _find_doubtful_columns(columns: Columns) -> Iterator[Finding]:
    """Finds columns that may hold parts but are not used."""
    for name, cells in columns.items():
        values = sorted({*cells})
        is_short = 2 <= len(values) <= MAX_VALUES
        examples = ", ".join(value or "nothing" for value in values[:4])
        what = f"column '{name}' may hold parts but is not used"
        if is_short and {*split_words(name)} & FOLD_WORDS:
            what = f"column '{name}' holds the folds of a cross-validation and is not used"
            yield Finding("warning", what, examples, ADD_SPLIT)
        elif len(values) > 1 and (words := _find_part_words(values)):
            yield Finding("warning", what, ", ".join(words[:4]), FILL_COLUMN)
        elif is_short and mentions_parts(name):
            yield Finding("warning", what, examples, FILL_COLUMN)


def _find_part_words(values: Sequence[str]) -> Sequence[str]:
    """Returns the values that are parts, or else those that look like parts to validate or test on."""
    parts = [value for value in values if parse_part(value)]
    return parts or _keep_unused(find_doubtful(_drop_long(values)), frozenset())
