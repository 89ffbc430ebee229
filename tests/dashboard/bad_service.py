"""What the pages must bear: functions whose names, words and results are as odd as they get."""

from __future__ import annotations

from typing import Any

import conduit

worker = conduit.Worker("oddities")

HOSTILE_NAME = '<img src=x onerror="window.hacked=1">'
HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
HEBREW = "שלום עולם: ההזמנה נשלחה (42) ✓"
ARABIC = "مرحبا بالعالم"


@worker.task(name=HOSTILE_NAME)
async def hostile() -> None:
    """<b>Not bold</b><script>window.hacked=1</script>"""
    ctx = conduit.current_job()
    ctx.log.error("%s", HOSTILE)
    ctx.set_progress(0.5, HOSTILE)
    await ctx.set_metadata(note=HOSTILE, html={HOSTILE: [HOSTILE]})
    await ctx.artifact("page.html", f"<!doctype html>{HOSTILE}", "text/html")
    await ctx.artifact(
        "picture.svg",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked=1'><script>"
        "window.hacked=1</script><rect width='9' height='9'/></svg>",
        "image/svg+xml",
    )
    raise ValueError(f"{HOSTILE}\n{HOSTILE}")


@worker.task
async def large_result(size: int) -> str:
    """As much as a result may take."""
    return "x" * size


@worker.task
async def deep_result(depth: int) -> Any:
    """Objects and lists within one another."""
    value: Any = "the bottom"
    for level in range(depth):
        value = {"level": level, "inner": value} if level % 2 else [level, value]
    return value


@worker.task
async def foreign_words() -> dict[str, str]:
    """Text from right to left, and other scripts."""
    ctx = conduit.current_job()
    ctx.log.info("%s", HEBREW)
    ctx.log.info("%s", ARABIC)
    return {"hebrew": HEBREW, "arabic": ARABIC, "japanese": "注文を発送しました"}


@worker.task
async def large_number(number: int) -> dict[str, float | int]:
    """Numbers with more digits than a browser's own have."""
    ctx = conduit.current_job()
    await ctx.set_metadata(before=number - 1)
    await ctx.save_checkpoint({"numbers": [number]})
    return {"next": number + 1, "whole": 1.0}
