"""Read a page of the manual and do what it says: Python blocks in one namespace, commands in page order.

``python pages.py PAGE`` runs a page in the current folder. Every ``python`` block and every ``$`` line of a ``console``
block is run; ``# exit 3`` after a command states its exit code. A comment before a block excuses it, with the reason::

    <!-- not run: installs software -->
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```[ \t]*$", re.MULTILINE | re.DOTALL
)
_EXCUSE = re.compile(r"<!-- not run:(?P<reason>.*?)-->\s*\Z", re.DOTALL)
_EXIT = re.compile(r"#\s*exit (\d+)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of its first line, and why it is not run, if it is not."""

    language: str
    text: str
    line: int
    excuse: str | None

    @property
    def runs(self) -> bool:
        """Whether this block is to be run."""
        return self.language in {"python", "console"} and self.excuse is None


@dataclass(frozen=True)
class Command:
    """One command of a console block, the line it stands on, and the exit code it must have."""

    text: str
    line: int
    code: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        excuse = _EXCUSE.search(text[: fence.start()])
        language = fence["language"].strip().removeprefix("{code-block}").strip()
        line = text.count("\n", 0, fence.start("text")) + 1
        reason = excuse["reason"].strip() if excuse else None
        found.append(Block(language, textwrap.dedent(fence["text"]), line, reason))
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block; a backslash at the end of a line joins the next one to it."""
    found = []
    lines = enumerate(block.text.splitlines(), start=block.line)
    for number, line in lines:
        if not line.startswith("$ "):
            continue
        text = line.removeprefix("$ ")
        while text.endswith("\\"):
            text = text[:-1] + next(lines)[1].removeprefix("> ")
        stated = _EXIT.search(text)
        found.append(Command(text, number, int(stated[1]) if stated else 0))
    return found


def run(page: Path) -> None:
    """Run what a page shows, in the current folder; raise `SystemExit` at the first thing that is not so."""
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        if block.runs and block.language == "python":
            # the blank lines make a traceback name the line of the page
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
        elif block.runs:
            for command in commands(block):
                _run(command, page)


def _run(command: Command, page: Path) -> None:
    moved = re.fullmatch(r"cd (\S+)", command.text)
    if moved:
        os.chdir(moved[1])
        return
    done = subprocess.run(
        ["/bin/sh", "-c", command.text], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != command.code:
        sys.exit(
            f"{page}:{command.line}: `{command.text}` left with {done.returncode}, the page says {command.code}\n"
            f"{done.stdout}{done.stderr}"
        )


if __name__ == "__main__":
    run(Path(sys.argv[1]))
