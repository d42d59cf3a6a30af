"""RUNBOOK.md, as pages show it: the section of an alarm, made HTML. What is HTML in it stays text."""

from functools import cache
from typing import Final

from django.conf import settings
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

PAGE: Final = settings.BASE_DIR / "RUNBOOK.md"
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


def section(name: str) -> SafeString:
    """What is under the heading `### <name>`, without the heading; empty where there is no such heading, or no page."""
    return _section(name, PAGE.stat().st_mtime_ns if PAGE.exists() else 0)


@cache
def _section(name: str, as_of: int) -> SafeString:
    if not as_of:
        return SafeString("")
    found: list[str] = []
    inside = False
    for line in PAGE.read_text().splitlines():
        if line.startswith(("# ", "## ", "### ")):
            inside = line == f"### {name}"
        elif inside:
            found.append(line)
    return SafeString(_MARKDOWN.render("\n".join(found)))  # no HTML passes: it was made here
