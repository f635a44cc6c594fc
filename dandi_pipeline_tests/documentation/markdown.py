"""Reads what can be tried out of a Markdown document: fenced blocks, tables, links, headings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block, and where it stands."""

    language: str
    text: str
    where: str

    @property
    def commands(self) -> Sequence[str]:
        """The commands in it: every line of `sh`, and the lines of `console` after a `$`."""
        lines = self.text.splitlines()
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True)
class Document:
    """One document of the project."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(CHECKOUT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> Sequence[Block]:
        return [
            Block(match[2], match[3], f"{self.name}:{self.text.count(chr(10), 0, match.start()) + 1}")
            for match in _FENCE.finditer(self.text)
        ]

    @property
    def commands(self) -> Sequence[str]:
        return [command for block in self.blocks if block.language in ("sh", "console") for command in block.commands]

    @property
    def links(self) -> Sequence[str]:
        return _LINK.findall(_FENCE.sub("", self.text))

    @property
    def anchors(self) -> set[str]:
        """What a link can point at within the document, as GitHub makes it of headings."""
        headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def section(self, heading: str) -> str:
        """Return what stands under a heading."""
        return self.text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]

    def first_cells(self, heading: str) -> Sequence[str]:
        """Return the first cells of the tables under a heading, without their headings."""
        lines = [line for line in self.section(heading).splitlines() if line.startswith("|")]
        cells = [re.split(r"(?<!\\)\|", line)[1].strip() for line in lines]
        return [cell for before, cell in zip(["", *cells], cells, strict=False) if not _is_rule(cell) and before]


def documents() -> Sequence[Document]:
    """Return the documents that the project shows to its users and developers."""
    return [Document(path) for path in sorted(_paths())]


def _paths() -> Iterator[Path]:
    yield from (CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    yield from (CHECKOUT / "docs").rglob("*.md")


def _is_rule(cell: str) -> bool:
    return set(cell) <= set("-: ")
