"""Page: one HTML file that needs nothing else: style and script inside, every text escaped."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --blue: #0b6e99; }
@media (prefers-color-scheme: dark) { :root { --blue: #6cc5ea; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .8rem 0 1.4rem; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; white-space: nowrap; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: break-word; }
th { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th button { font: inherit; background: none; border: 0; padding: 0; color: inherit;
  cursor: pointer; text-decoration: underline dotted; text-align: left; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
figure { margin: 1rem 0; break-inside: avoid; background: #fff; color: #222;
  padding: .3rem; }
figure svg { max-width: 100%; height: auto; }
mark { background: var(--soft); color: inherit; text-decoration: underline; }
mark.expanded { text-decoration-style: dotted; }
.document { white-space: pre-wrap; border-left: 3px solid var(--line); padding-left: .8rem; }
.note { opacity: .8; }
@media print { body { max-width: none; margin: 0; font-size: 11px; } th button { text-decoration:
  none; } table { display: table; } section { break-before: auto; } tr { break-inside: avoid; } }
"""

SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const text = row => row.cells[at].textContent;
      const number = row => text(row) === "" ? NaN : Number(text(row));
      const compare = (a, b) => {
        const x = number(a), y = number(b);
        return isNaN(x) || isNaN(y) ? text(a).localeCompare(text(b)) : x - y;
      };
      const rows = [...body.rows].sort((a, b) => up ? compare(a, b) : compare(b, a));
      body.replaceChildren(...rows);
    });
  });
}
"""
"""Heads of the tables of class ``sortable`` become buttons that order the rows."""


def page(title: str, body: Iterable[str], *, script: str = "") -> str:
    """Return an HTML document that loads nothing and runs no script but the one given.

    Args:
        title: plain text.
        body: HTML, in which the caller has escaped every text.
        script: of the project, such as `SORT`; any other is refused by the page's own policy.
    """
    allowed = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{allowed}'"
    name = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        + "\n".join(body)
        + (f"\n<script>{script}</script>" if script else "")
        + "\n</body>\n</html>\n"
    )
