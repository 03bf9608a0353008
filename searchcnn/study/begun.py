"""A study continues as it was begun: what is not set now is what it was then, whatever the defaults are now."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from searchcnn.study.config import Section, StudyConfig
from searchcnn.study.identity import list_values_before

Table = Mapping[str, Any]


def complete(begun: Table) -> dict[str, Any]:
    """Returns the configuration of an older study, completed with values for the keys that it does not know.

    Args:
        begun: The configuration as the database has it.
    """
    return _complete(StudyConfig, begun)


def as_begun(config: StudyConfig, begun: Table) -> StudyConfig:
    """Returns a configuration in which the keys that are not set are those that a study was begun with.

    The budget, the location of the images, and what is only said of the study are those of now. What is set stays, even
    where it is a change.

    Args:
        config: What is asked for now; pydantic knows which of its keys were set.
        begun: What the study was begun with, as the database has it.
    """
    then, now = complete(begun), config.model_dump(exclude_unset=True)
    objective = now.get("search", {}).get("objective")
    if objective not in (None, then["search"].get("objective")):
        then["search"].pop("direction", None)  # it belonged to the other objective
    then["data"] = {key: value for key, value in then["data"].items() if key not in ("name", "path")}
    then = {key: value for key, value in then.items() if key not in ("budget", "description", "published")}
    now["options"] = _merge_options(config, then)
    merged = _merge(StudyConfig, now, then)
    try:
        return StudyConfig.model_validate(merged)
    except ValidationError:  # what is set now does not fit what was set then: it is a change
        return config


def find_changes(config: StudyConfig, other: StudyConfig) -> dict[str, Any]:
    """Returns the keys in which another configuration differs, dotted, and their values there.

    The direction is left out: in a study that was begun it follows from the objective's name.
    """
    here, there = _flatten(config.model_dump()), _flatten(other.model_dump())
    changed = {key: value for key, value in there.items() if here.get(key) != value}
    return {key: value for key, value in changed.items() if key != "search.direction"}


def _merge_options(config: StudyConfig, then: Table) -> dict[str, Any]:
    """Returns the options of search spaces, without those of spaces that are no longer searched."""
    left_out = {spec.rpartition(":")[2] for spec in set(then.get("spaces", ())) - set(config.spaces)}
    earlier = {name: options for name, options in then.get("options", {}).items() if name not in left_out}
    return {name: {**earlier.get(name, {}), **config.options.get(name, {})} for name in {**earlier, **config.options}}


def _merge(section: type[BaseModel], now: Table, then: Table) -> dict[str, Any]:
    merged = {key: value for key, value in {**then, **now}.items() if key in section.model_fields}
    for key, field in section.model_fields.items():
        if _is_section(field.annotation):
            merged[key] = _merge(field.annotation, now.get(key, {}), then.get(key, {}))
    return merged


def _complete(section: type[BaseModel], begun: Table) -> dict[str, Any]:
    whole = {**list_values_before(section), **begun}
    for key, field in section.model_fields.items():
        if _is_section(field.annotation) and isinstance(begun.get(key, {}), Mapping):
            whole[key] = _complete(field.annotation, begun.get(key, {}))
    return whole


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _flatten(table: Table, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and not prefix:  # the sections; below them, a table is a value
            flat |= _flatten(value, f"{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
