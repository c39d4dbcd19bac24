"""The parts of an HTML page that stands by itself: no scripts, no network, one file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["figure", "page", "paragraphs", "section", "table"]

# Nothing may be loaded from anywhere: what is shown is in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { --ink: #1c2430; --soft: #5a6675; --line: #d9dee5; --accent: #0072b2; --back: #f6f8fa; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 56rem; color: var(--ink);
  background: #fff; font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
p { margin: .5rem 0; }
.lead { color: var(--soft); margin-top: 0; }
.short { background: var(--back); border-left: 4px solid var(--accent); padding: .5rem 1rem;
  margin: 1.25rem 0; }
.short ul { margin: .25rem 0; padding-left: 1.1rem; }
nav { font-size: .9rem; }
nav a { color: var(--accent); margin-right: .9rem; white-space: nowrap; }
figure { margin: 1.25rem 0; }
figure img { display: block; width: 100%; max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .35rem; }
.scroll { overflow-x: auto; }
@media screen and (max-width: 40rem) { figure .scroll img { width: 38rem; max-width: none; } }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.numbers td, .numbers th { text-align: right; overflow-wrap: normal; }
details summary { cursor: pointer; color: var(--accent); }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2 { break-after: avoid; }
  figure, tr, .short { break-inside: avoid; }
  figure img { max-height: 22cm; width: auto; margin: 0 auto; }
  details > * { display: block; }
}
"""


def page(title: str, lead: str, body: str, sections: Sequence[tuple[str, str]], foot: str) -> str:
    """A whole document.

    Args:
        title: shown on top, plain text.
        lead: one line below it, plain text.
        body: HTML.
        sections: anchors and names of what the reader may jump to.
        foot: plain text.
    """
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a> ' for anchor, name in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>'
        f"<nav>{links}</nav></header>\n<main>\n{body}\n</main>\n"
        f"<footer><p>{escape(foot)}</p></footer>\n</body>\n</html>\n"
    )


def section(anchor: str, name: str, *parts: str) -> str:
    """A headed part of the page, made of HTML."""
    inside = "\n".join(part for part in parts if part)
    return f'<section id="{anchor}">\n<h2>{escape(name)}</h2>\n{inside}\n</section>'


def paragraphs(sentences: Iterable[str]) -> str:
    """One paragraph for each text."""
    return "\n".join(f"<p>{escape(text)}</p>" for text in sentences)


def figure(png: bytes, alt: str, caption: str) -> str:
    """A picture inside the page itself."""
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><div class="scroll" tabindex="0"><img src="data:image/png;base64,{data}" '
        f'alt="{escape(alt)}"></div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """A table that scrolls by itself where the screen is narrow."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    kind = ' class="numbers"' if numbers else ""
    inside = f"<table{kind}><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{inside}</div>'
