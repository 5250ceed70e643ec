// The lists side by side: texts with marked words, and how each document moves between lists.

import { make } from "./dom.js";
import { toggleWhy } from "./explain.js";
import { thumbs } from "./judge.js";
import { state } from "./state.js";

function moved(from, to) {
  if (!from) return "new";
  return from === to ? "=" : from > to ? `▲${from - to}` : `▼${to - from}`;
}

function marked({ text, marks, start: before, clipped }) {
  const letters = Array.from(text);
  const made = make("p", { className: "text" });
  made.append(before ? "… " : "");
  let done = 0;
  for (const { start, end, weight, literal, term } of marks) {
    const kind = literal ? "literal" : "expanded";
    const level = weight > 0.66 ? 3 : weight > 0.33 ? 2 : 1;
    const title = `${term}: ${literal ? "in the query" : "added by the encoder"}, weight ${weight.toFixed(2)}`;
    made.append(letters.slice(done, start).join(""));
    made.append(make("mark", { className: `${kind} w${level}`, title, textContent: letters.slice(start, end).join("") }));
    done = end;
  }
  made.append(letters.slice(done).join("") + (clipped ? " …" : ""));
  return made;
}

function mainItem(row, branches) {
  const why = make("div", { className: "why", hidden: true, tabIndex: 0, data: { role: "group", "aria-label": "explanation" } });
  const button = make("button", { type: "button", textContent: "Why?", data: { "aria-expanded": "false" } });
  const places = branches.map((name, i) => `${name} ${row.ranks[i] || "–"}`).join(" · ");
  const head = make("div", { className: "head" },
    make("span", { className: "rank", textContent: row.rank }),
    make("h3", { textContent: row.title || row.doc_id }),
    make("span", { className: "score", textContent: row.score.toFixed(4) }));
  if (row.title) head.append(make("span", { className: "score", textContent: row.doc_id }));
  if (row.before !== undefined) {
    const title = state.weight === null ? "against the fused list" : "against the list of the index";
    head.append(make("span", { className: "moved", title, textContent: moved(row.before, row.rank) }));
  }
  const actions = make("div", { className: "actions" }, button);
  if (state.info?.judge) actions.append(...thumbs(row.doc_id));
  actions.append(make("span", { className: "score", textContent: places, title: "rank in each branch" }));
  if (row.stays) {
    const [low, high] = row.stays.map((one) => one.toFixed(2));
    actions.append(make("span", { className: "score stays", textContent: `stays from ${low} to ${high}` }));
  }
  const item = make("li", { tabIndex: 0, data: { "data-id": row.doc_id } }, head, marked(row), actions, why);
  button.addEventListener("click", () => toggleWhy(row.doc_id, button, why));
  item.addEventListener("keydown", (event) => {
    if (event.target === item && event.key === "Enter") button.click();
  });
  return item;
}

function otherItem(row, main, name) {
  const place = main.get(row.doc_id);
  return make("li", { tabIndex: 0, data: { "data-id": row.doc_id } },
    make("div", { className: "head" },
      make("span", { className: "rank", textContent: row.rank }),
      make("span", { className: "name", textContent: row.title || row.doc_id }),
      make("span", { className: "score", textContent: row.score.toFixed(3) }),
      make("span", { className: "moved", textContent: place ? `${moved(row.rank, place)} to ${place}` : `not ${name}`,
        title: place ? `rank ${place} in the ${name} list` : `not among the ${name} hits` })));
}

function list(name, className, items) {
  const made = make("section", { className, data: { "aria-label": `${name} list` } }, make("h2", { textContent: name }));
  made.append(items.length ? make("ol", {}, ...items) : make("p", { className: "quiet", textContent: "nothing" }));
  return made;
}

export function lists(name, rows, others, branches) {
  const main = new Map(rows.map((row) => [row.doc_id, row.rank]));
  return [
    list(name, "hits", rows.map((row) => mainItem(row, branches))),
    ...others.map((one) => list(one.name, "branch", one.rows.map((row) => otherItem(row, main, name)))),
  ];
}
