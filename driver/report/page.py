"""HTML as values: text is escaped unless it is already HTML, so nothing that a model wrote can become markup.

Owns escaping, the page around a report and its style. Must not know what is reported.
"""

from collections.abc import Iterable
from html import escape

_VOID = ("br", "hr", "meta")

STYLE = """
:root { --ink: #1c2329; --soft: #5b6770; --line: #dde3e8; --panel: #f5f7f9; --good: #17703a; --bad: #a3312a; }
* { box-sizing: border-box; }
html { background: #fff; color-scheme: light; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1.1rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.small { font-size: .86rem; }
.verdict { font-size: 1.12rem; line-height: 1.5; margin: 1rem 0; padding: .8rem 1rem; background: var(--panel);
  border-left: 4px solid #2b6cb0; border-radius: 0 6px 6px 0; max-width: none; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; border-bottom-color: #b9c3cb; }
thead tr.over th { text-align: center; border-bottom: 0; padding-bottom: 0; color: var(--ink); }
th.words, td.words { text-align: left; }
tr.total td { font-weight: 600; }
tr.total.first td { border-top: 1px solid #b9c3cb; }
.better { color: var(--good); font-weight: 600; }
.worse { color: var(--bad); font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem 1.6rem;
  margin: .8rem 0; }
figure { margin: 0; min-width: 0; }
figure.wide { max-width: 42rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-weight: 600; font-size: .93rem; }
figcaption span { display: block; font-weight: 400; font-size: .83rem; color: var(--soft); line-height: 1.4; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .5rem 0; padding: 0; list-style: none;
  font-size: .88rem; }
.legend i { display: inline-block; width: 1.1em; height: .28em; border-radius: 2px; margin-right: .4em;
  vertical-align: .2em; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: 0 .9rem; }
details > summary { cursor: pointer; padding: .55rem 0; font-weight: 600; }
details[open] > summary { border-bottom: 1px solid var(--line); margin-bottom: .7rem; }
details > :last-child:not(summary) { margin-bottom: .9rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); border-radius: 6px;
  padding: .55rem .75rem; margin: .2rem 0 .7rem; font-size: .94rem; line-height: 1.5; max-width: none; }
.label { font-size: .8rem; color: var(--soft); margin: .5rem 0 0; }
.chips { margin: .25rem 0; display: flex; flex-wrap: wrap; gap: .3rem; }
.chips span { font-size: .78rem; line-height: 1.5; border: 1px solid var(--line); border-radius: 99px;
  padding: 0 .6em; }
.chips .better { border-color: #a9d3b8; background: #f0f8f3; }
.chips .worse { border-color: #e3b5b1; background: #fcf3f2; }
pre { overflow-x: auto; background: var(--panel); border-radius: 6px; padding: .7rem .85rem; font-size: .83rem;
  line-height: 1.45; margin: .5rem 0; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
ul { padding-left: 1.2rem; }
@media print { details { break-inside: avoid; } figure { break-inside: avoid; } }
"""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | Html | Iterable["Content"]


def element(tag: str, *content: Content, **attributes: str | int) -> Html:
    """`element("td", "5 < 6", class_="soft")`: content and attribute values are escaped, `class_` means class."""
    named = "".join(f' {name.rstrip("_")}="{escape(str(value))}"' for name, value in attributes.items() if value != "")
    if tag in _VOID:
        return Html(f"<{tag}{named}>")
    return Html(f"<{tag}{named}>{join(content)}</{tag}>")


def join(content: Content) -> Html:
    """Pieces one after the other, with everything escaped that is not Html."""
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escape(content, quote=False))
    return Html("".join(join(piece) for piece in content))


def page(title: str, body: Content) -> str:
    """A whole document that asks for nothing outside itself."""
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    ]
    document = element("html", element("head", head), "\n", element("body", body), lang="en")
    return f"<!doctype html>\n{document}\n"


def table(rows: Iterable[Content], *, head: Iterable[Content]) -> Html:
    """Rows of `<tr>`; wider than a phone, it scrolls by itself."""
    inner = element("table", element("thead", head), element("tbody", rows))
    return element("div", inner, class_="scroll")


def details(title: Content, *content: Content, is_open: bool = False) -> Html:
    """A part that unfolds."""
    opening = {"open": "open"} if is_open else {}
    return element("details", element("summary", title), *content, **opening)
