"""A service that does real work: it catalogues the pages and pictures of this repository.

    conduit run examples/catalogue.py

and, in a second terminal in the same folder:

    conduit submit build_index --wait
    conduit submit find_pages --args '["retry"]' --wait

`make demo` runs all of it to its end; see demo.py beside this file.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from PIL import Image

import conduit

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PICTURES = sorted((ROOT / "examples" / "images").glob("*.*"))
OUTPUT = Path(".conduit") / "catalogue"

documents = conduit.Worker("documents", concurrency=8)
pictures = conduit.Worker("pictures", sync_executor="process", processes=2)

index_built = documents.event("index.built")

Postings = dict[str, list[tuple[str, int]]]
"""For each word the pages that have it, and how often."""


@dataclass
class PageWords:
    page: Path
    counts: dict[str, int]


@dataclass
class Index:
    file: Path
    pages: int
    words: int


@dataclass
class Hit:
    page: Path
    times: int


@dataclass
class Thumbnail:
    file: Path
    width: int
    height: int


@documents.task
def read_page(page: Path) -> PageWords:
    """Count the words of one page. A plain function: it runs in a thread."""
    words = re.findall(r"[a-z][a-z'_-]+", page.read_text("utf-8").lower())
    return PageWords(page, dict(Counter(words)))


@documents.task(retries=2, timeout=60)
async def build_index(pages: list[Path] | None = None, folder: Path = OUTPUT) -> Index:
    """Fan out one job per page, gather their words, write the index and announce it."""
    job = conduit.current_job()
    pages = pages or PAGES
    postings: Postings = {}
    words = 0
    futures = await conduit.submit_many(read_page, pages)
    for done, future in enumerate(futures, start=1):
        read = await future.value()
        words += sum(read.counts.values())
        for word, times in read.counts.items():
            postings.setdefault(word, []).append((str(read.page), times))
        job.set_progress(done / len(futures), read.page.name)

    file = await asyncio.to_thread(write_index, postings, folder)
    job.log.info("%d pages, %d words, %d different ones", len(pages), words, len(postings))
    await job.set_metadata(pages=len(pages), words=words, different=len(postings))
    await job.artifact("rarest.txt", "\n".join(sorted(w for w in postings if len(w) > 15)))
    await index_built.publish(pages=len(pages), words=words, folder=folder)
    return Index(file, len(pages), words)


def write_index(postings: Postings, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "index.json"
    file.write_text(json.dumps(postings, indent=1, sort_keys=True), "utf-8")
    return file


@documents.event("index.*").on(retries=3)
def write_news(pages: int, words: int, folder: Path) -> Path:
    """Handle every event whose name begins with `index.`, each in a job of its own."""
    news = folder / "news.txt"
    news.write_text(f"The index holds {words:,} words from {pages} pages.\n", "utf-8")
    return news


@documents.task(retries=10)
def find_pages(word: str, folder: Path = OUTPUT) -> list[Hit]:
    """Look a word up in the index, or try again when there is one."""
    index = folder / "index.json"
    if not index.exists():
        raise conduit.Retry("the index isn't there yet", delay=0.5)
    postings: Postings = json.loads(index.read_text("utf-8"))
    hits = [Hit(Path(page), times) for page, times in postings.get(word.lower(), [])]
    return sorted(hits, key=lambda hit: -hit.times)[:3]


@documents.task(retries=3, retry_delay=0.5, retry_on=ConnectionError)
def back_up(files: list[Path] | None = None, folder: Path = OUTPUT) -> int:
    """Copy files over a line that breaks once. The next attempt goes on after the last file."""
    job = conduit.current_job()
    files = files or PICTURES
    target = folder / "backup"
    target.mkdir(parents=True, exist_ok=True)
    copied: int = job.checkpoint or 0
    if copied:
        job.log.info("going on after file %d of %d", copied, len(files))
    for number, file in enumerate(files[copied:], start=copied + 1):
        if job.attempt == 1 and number > len(files) // 2:
            raise ConnectionError("the line broke")
        shutil.copy(file, target)
        job.save_checkpoint_sync(number)
        job.set_progress(number / len(files), file.name)
        job.sleep_sync(0.15)  # a slow line; a cancel would end this at once
    return len(files) - copied


@documents.task
async def watch_folder(folder: Path = OUTPUT) -> None:
    """Log what changes in a folder, for ever: somebody has to cancel this one."""
    job = conduit.current_job()
    known: set[Path] = set()
    while True:
        files = await asyncio.to_thread(files_in, folder)
        for file in sorted(files - known):
            job.log.info("new: %s", file.name)
        known = files
        await job.sleep(0.25)


def files_in(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


@documents.cron(timedelta(seconds=2))
def take_stock() -> dict[str, int]:
    """Every two seconds, on one worker: how much there is to catalogue."""
    return {"pages": len(PAGES), "pictures": len(PICTURES)}


@pictures.task(retries=2, timeout=30)
def make_thumbnail(picture: Path, folder: Path = OUTPUT, width: int = 240) -> Thumbnail:
    """Scale a picture down. This worker runs plain functions in processes: it uses every core."""
    file = folder / f"{picture.stem}-{width}{picture.suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(picture) as image:
        image.thumbnail((width, width))
        image.save(file)
        return Thumbnail(file, image.width, image.height)
