"""Prose for the model, from agent/prompts."""

from importlib.resources import files
from string import Template


def prompt(name: str, **values: str) -> str:
    """The file with its `$names` filled in. Raises KeyError where one is missing."""
    text = files("agent").joinpath("prompts", name).read_text(encoding="utf-8")
    return Template(text).substitute(values).strip()
