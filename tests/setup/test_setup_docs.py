"""What operators read names what there is to set."""

import re
from pathlib import Path

import pytest

from vibecoder.settings import Settings

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_explained(name: str) -> None:
    rows = [line for line in OPERATIONS.splitlines() if line.startswith("| `")]
    assert any(f"`{name.upper()}`" in row for row in rows)


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", OPERATIONS, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", OPERATIONS)) <= headings
