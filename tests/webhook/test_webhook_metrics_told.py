"""What operators are told to watch is what there is."""

import re
from pathlib import Path

from webhook_front import Front

OPERATIONS = Path(__file__).parents[2] / "docs/OPERATIONS.md"


async def test_every_metric_is_in_the_page_for_operators_and_no_other(front: Front) -> None:
    await front.store.redis.config_set("maxmemory", 500_000_000)
    try:
        page = (await front.http.get("/metrics")).text
    finally:
        await front.store.redis.config_set("maxmemory", 0)
    there = set(re.findall(r"^# TYPE (vibecoder_\w+)", page, re.MULTILINE))
    told = set(re.findall(r"\bvibecoder_\w+", OPERATIONS.read_text(encoding="utf-8")))
    assert there == told
