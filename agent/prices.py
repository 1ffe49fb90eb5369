"""What tokens cost. The table is `prices.yaml`; without a row for a model no money limit is kept,
so the model is not used at all."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from agent.errors import ModelUnknown

MILLION = Decimal(1_000_000)
# A factor for requests that are bound to one region:
# https://platform.claude.com/docs/en/about-claude/pricing
REGIONAL = Decimal("1.1")


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one request: the first four add up to the prompt."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the table."""

    model: str
    effective_from: date
    verified_on: date
    source: str
    rates: Rates
    long_prompt_over: int | None = None  # tokens
    long_prompt: Rates | None = None

    def of(self, tokens: Tokens, *, regional: bool = False) -> Decimal:
        """US dollars for one request."""
        rates = self._rates(tokens.prompt)
        cost = (
            tokens.input * rates.input
            + tokens.cache_read * rates.cache_read
            + tokens.cache_write_5m * rates.cache_write_5m
            + tokens.cache_write_1h * rates.cache_write_1h
            + tokens.output * rates.output
        ) / MILLION
        return cost * REGIONAL if regional else cost

    def affordable_output(self, prompt: int, usd: Decimal) -> int:
        """How many tokens of output `usd` pays for, if all of the prompt were written to the cache.

        That is the dearest case for the prompt, so a request limited to this cannot cost more.
        """
        rates = self._rates(prompt)
        left = usd - prompt * max(rates.input, rates.cache_write_5m) / MILLION
        return max(0, int(left * MILLION / rates.output))

    def _rates(self, prompt: int) -> Rates:
        if self.long_prompt and self.long_prompt_over and prompt > self.long_prompt_over:
            return self.long_prompt
        return self.rates


def price(model: str, on: date) -> Price:
    """The row for `model`, or for the model it is a dated snapshot of. Raises ModelUnknown."""
    name = re.sub(r"-\d{8}$", "", model)
    rows = [row for row in table() if row.model == name and row.effective_from <= on]
    if not rows:
        known = ", ".join(sorted({row.model for row in table()}))
        raise ModelUnknown(
            f"No price is known for the model {model}, so its cost could not be limited. "
            f"Set VIBECODER_MODEL to one of: {known}."
        )
    return max(rows, key=lambda row: row.effective_from)


@cache
def table() -> tuple[Price, ...]:
    """All rows of `prices.yaml`."""
    text = files("agent").joinpath("prices.yaml").read_text(encoding="utf-8")
    # Numbers stay text until they are decimals: 0.10 as a float is not ten cents.
    return tuple(_row(row) for row in yaml.load(text, Loader=yaml.BaseLoader))  # noqa: S506


def _row(row: dict[str, Any]) -> Price:
    long_prompt = row.get("long_prompt")
    return Price(
        model=row["model"],
        effective_from=date.fromisoformat(row["effective_from"]),
        verified_on=date.fromisoformat(row["verified_on"]),
        source=row["source"],
        rates=_rates_of(row),
        long_prompt_over=int(long_prompt["over"]) if long_prompt else None,
        long_prompt=_rates_of(long_prompt) if long_prompt else None,
    )


def _rates_of(row: dict[str, Any]) -> Rates:
    return Rates(
        input=Decimal(row["input"]),
        output=Decimal(row["output"]),
        cache_read=Decimal(row["cache_read"]),
        cache_write_5m=Decimal(row["cache_write_5m"]),
        cache_write_1h=Decimal(row["cache_write_1h"]),
    )
