"""The table of prices: dated, sourced, and the end of the matter where it has no row."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelUnknown
from agent.prices import Tokens, price, table

TODAY = date(2026, 11, 1)


def test_every_row_names_its_source_and_when_it_was_checked() -> None:
    assert table()
    for row in table():
        assert row.source.startswith("https://")
        assert row.verified_on >= row.effective_from


def test_tokens_of_each_kind_have_their_own_price() -> None:
    tokens = Tokens(1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000)
    assert price("claude-opus-5-5", TODAY).of(tokens) == Decimal("37.20")


def test_a_price_holds_from_its_date() -> None:
    read = Tokens(cache_read=1_000_000)
    assert price("claude-sonnet-5-5", date(2026, 10, 6)).of(read) == Decimal("0.20")
    assert price("claude-sonnet-5-5", date(2026, 10, 7)).of(read) == Decimal("0.10")


def test_long_prompts_cost_more_from_the_first_token_on() -> None:
    haiku = price("claude-haiku-5-5", TODAY)
    assert haiku.of(Tokens(input=100_000)) == Decimal("0.01")
    assert haiku.of(Tokens(input=100_001)) > Decimal("0.05")


def test_a_dated_snapshot_has_its_models_price() -> None:
    assert price("claude-opus-5-5-20261015", TODAY).model == "claude-opus-5-5"


@pytest.mark.parametrize("model", ["gpt-9", "claude-fable-5-2", "", "claude-opus-5-55"])
def test_a_model_without_a_price_is_refused(model: str) -> None:
    with pytest.raises(ModelUnknown, match="VIBECODER_MODEL"):
        price(model, TODAY)


@given(st.integers(0, 2_000_000), st.decimals("0", "20", places=4))
def test_what_is_affordable_never_costs_more_than_there_is(prompt: int, usd: Decimal) -> None:
    for row in table():
        output = row.affordable_output(prompt, usd)
        if output:
            assert row.of(Tokens(cache_write_5m=prompt, output=output)) <= usd
            assert row.of(Tokens(input=prompt, output=output)) <= usd
