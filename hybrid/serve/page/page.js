"use strict";
// Texts of queries and documents reach the page through textContent alone.

const at = (id) => document.getElementById(id);
const state = { found: null, info: null, weight: null, asked: 0, judged: {} };

function make(tag, given = {}, ...inside) {
  const { data, ...rest } = given;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(data || {})) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

async function call(path, body) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem("key");
  if (key) headers["X-API-Key"] = key;
  const asked = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  let answer;
  try {
    answer = await fetch(path, asked);
  } catch {
    throw new Error("the server cannot be reached; is it still running?");
  }
  const read = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (answer.status === 401) at("unlock").hidden = false;
  if (!answer.ok) throw new Error(read.error || `the server answered ${answer.status}`);
  return read;
}

function fail(error) {
  at("failed").textContent = error.message;
  at("failed").hidden = false;
  at("said").textContent = "";
}

// What is asked, in the form and in the address

function readForm() {
  const asked = { query: at("query").value, k: Number(at("k").value) };
  if (at("filter").value.trim()) asked.filter = at("filter").value;
  if (at("fusion").value.trim()) asked.fusion = at("fusion").value;
  return asked;
}

function hash() {
  const kept = new URLSearchParams(readForm());
  if (state.weight !== null) kept.set("weight", state.weight);
  return `#${kept}`;
}

function readHash() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const id of ["query", "filter", "fusion"]) at(id).value = kept.get(id) || "";
  const k = kept.get("k") || "10";
  if (![...at("k").options].some((one) => one.value === k)) at("k").append(make("option", { textContent: k }));
  at("k").value = k;
  const weight = kept.has("weight") ? Number(kept.get("weight")) : NaN;
  state.weight = weight >= 0 && weight <= 1 ? weight : null;
  at("weight").value = state.weight === null ? 50 : Math.round(100 * state.weight);
}

async function search() {
  const asked = readForm();
  if (!asked.query.trim()) return;
  const mine = ++state.asked;
  at("failed").hidden = true;
  at("said").textContent = "Searching…";
  history.replaceState(null, "", hash());
  document.title = `${asked.query} – hybrid search`;
  try {
    const found = await call("search", { ...asked, candidates: true });
    if (mine !== state.asked) return;
    state.found = { ...found, k: asked.k, filter: asked.filter };
    state.judged = {};
    show();
  } catch (error) {
    if (mine !== state.asked) return;
    state.found = null;
    at("lists").replaceChildren();
    at("weighing").hidden = at("legend").hidden = true;
    fail(error);
  }
}

// Ranking the candidates by another weight

function sides(row) {
  const { branches, kinds } = state.found.candidates;
  const mean = (kind) => {
    const parts = row.parts.filter((_, i) => kinds[branches[i]] === kind);
    return parts.reduce((sum, part) => sum + (part || 0), 0) / parts.length;
  };
  return [mean("sparse"), mean("dense")];
}

const weighed = ([sparse, dense], weight) => (1 - weight) * sparse + weight * dense;

function rankedBy(weight) {
  const rows = state.found.candidates.rows.map((row) => {
    const both = sides(row);
    return { ...row, both, score: weighed(both, weight) };
  });
  return rows.sort((a, b) => b.score - a.score || (a.doc_id < b.doc_id ? 1 : -1));
}

// The weights around this one between which a document stays among the first k.
function interval(row, rows, weight, k) {
  const slope = (one) => one.both[1] - one.both[0];
  const events = rows
    .filter((other) => other !== row && slope(other) !== slope(row))
    .map((other) => {
      const where = (row.both[0] - other.both[0]) / (slope(other) - slope(row));
      return { where, rises: slope(other) > slope(row) };
    })
    .sort((a, b) => a.where - b.where);
  const above = rows.indexOf(row);
  const walk = (list, step) => {
    let count = above;
    for (const { where, rises } of list) {
      count += rises === step > 0 ? 1 : -1;
      if (count >= k) return where;
    }
    return step > 0 ? 1 : 0;
  };
  const inside = ({ where }) => where >= 0 && where <= 1;
  const right = events.filter((one) => inside(one) && one.where > weight);
  const left = events.filter((one) => inside(one) && one.where <= weight).reverse();
  return [walk(left, -1), walk(right, 1)];
}

// The lists

function branchLists() {
  const { branches, rows } = state.found.candidates;
  return branches.map((name, i) => ({
    name,
    rows: rows.filter((row) => row.ranks[i]).sort((a, b) => a.ranks[i] - b.ranks[i])
      .map((row) => ({ ...row, rank: row.ranks[i], score: row.scores[i] })).slice(0, state.found.k),
  }));
}

function fusedRows() {
  const { hits, candidates, k } = state.found;
  const byId = new Map(candidates.rows.map((row) => [row.doc_id, row]));
  if (state.weight === null) {
    return hits.map((hit) => ({ ...hit, ...shown(hit), ranks: (byId.get(hit.doc_id) || { ranks: [] }).ranks }));
  }
  const rows = rankedBy(state.weight);
  const before = new Map(hits.map((hit) => [hit.doc_id, hit]));
  return rows.slice(0, k).map((row, place) => ({
    ...row, rank: place + 1, before: before.get(row.doc_id)?.rank || 0,
    stays: interval(row, rows, state.weight, k),
  }));
}

function moved(from, to) {
  if (!from) return "new";
  return from === to ? "=" : from > to ? `▲${from - to}` : `▼${to - from}`;
}

function shown({ text, snippet }) {
  const rest = Array.from(text).slice(snippet.end).join("");
  return { ...snippet, clipped: rest.trim() !== "" };
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

function fusedItem(row, branches) {
  const why = make("div", { className: "why", hidden: true });
  const button = make("button", { type: "button", textContent: "Why?", data: { "aria-expanded": "false" } });
  const places = branches.map((name, i) => `${name} ${row.ranks[i] || "–"}`).join(" · ");
  const head = make("div", { className: "head" },
    make("span", { className: "rank", textContent: row.rank }),
    make("h3", { textContent: row.title || row.doc_id }),
    make("span", { className: "score", textContent: row.score.toFixed(4) }));
  if (row.title) head.append(make("span", { className: "score", textContent: row.doc_id }));
  if (state.weight !== null) {
    head.append(make("span", { className: "moved", title: "against the fusion of the index", textContent: moved(row.before, row.rank) }));
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
    if (event.target !== item) return;
    if (event.key === "Enter") button.click();
  });
  return item;
}

function branchItem(row, fused) {
  const place = fused.get(row.doc_id);
  return make("li", { tabIndex: 0, data: { "data-id": row.doc_id } },
    make("div", { className: "head" },
      make("span", { className: "rank", textContent: row.rank }),
      make("span", { textContent: row.title || row.doc_id }),
      make("span", { className: "score", textContent: row.score.toFixed(3) }),
      make("span", { className: "moved", textContent: place ? `${moved(row.rank, place)} to ${place}` : "not fused",
        title: place ? `rank ${place} in the fused list` : "not among the fused hits" })));
}

function list(name, className, items) {
  const made = make("section", { className, data: { "aria-label": `${name} list` } }, make("h2", { textContent: name }));
  made.append(items.length ? make("ol", {}, ...items) : make("p", { className: "quiet", textContent: "nothing" }));
  return made;
}

function show() {
  const { candidates, hits, fusion, milliseconds, filter } = state.found;
  const kinds = new Set(Object.values(candidates.kinds));
  if (kinds.size < 2) state.weight = null;
  const rows = fusedRows();
  const fused = new Map(rows.map((row) => [row.doc_id, row.rank]));
  at("weighing").hidden = kinds.size < 2 || !hits.length;
  at("legend").hidden = !hits.length;
  at("reset").hidden = state.weight === null;
  at("weight-said").textContent = state.weight === null ? "as in the index" : state.weight.toFixed(2);
  const by = state.weight === null ? fusion : `weight ${state.weight.toFixed(2)} over ${candidates.norm}`;
  at("said").textContent = hits.length
    ? `${rows.length} hits by ${by} in ${milliseconds} ms`
    : `Nothing found${filter ? " among the documents that the filter lets through" : ""}. Try other words.`;
  const lists = hits.length ? branchLists() : [];
  at("lists").replaceChildren(...(hits.length ? [
    list("fused", "fused", rows.map((row) => fusedItem(row, candidates.branches))),
    ...lists.map((one) => list(one.name, "branch", one.rows.map((row) => branchItem(row, fused)))),
  ] : []));
}

// Explanations and judgments

function table(caption, names, rows) {
  return make("table", {}, make("caption", { textContent: caption }),
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { textContent: name, scope: "col" })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", { textContent: cell }))))));
}

const CAUSES = {
  filter: "the filter leaves it out",
  depth: "no branch has it within its depth",
  copy: "it is a copy of a better one",
  fusion: "the fusion ranks it lower",
  reranking: "scored again, it ranks lower",
};

async function toggleWhy(docId, button, why) {
  why.hidden = !why.hidden;
  button.setAttribute("aria-expanded", String(!why.hidden));
  if (why.hidden || why.childElementCount) return;
  why.textContent = "…";
  try {
    const found = await call("explain", { ...readForm(), query: state.found.query, doc_id: docId });
    const number = (value) => (value === null ? "–" : value.toFixed(4));
    const parts = [table(
      found.score === null ? `No candidate of ${found.fusion}` : `Rank ${found.rank || "–"} of ${found.candidates} by ${found.fusion}`,
      ["branch", "rank", "own score", "weight", "part", "share"],
      found.branches.map((one) => [one.branch, one.rank || "–", number(one.score), number(one.weight),
        number(one.part), number(one.share)]))];
    if (found.missed) {
      const lacks = found.missed.lacks === null ? "" : `; it lacks ${number(found.missed.lacks)}`;
      const textContent = `Not in the top ${found.missed.k}: ${CAUSES[found.missed.cause]}${lacks}.`;
      parts.unshift(make("p", { textContent }));
    }
    for (const one of found.branches.filter((each) => each.terms.length)) {
      parts.push(table(`Terms of ${one.branch}`, ["term", "query × document", "gives", "kind"],
        one.terms.slice(0, 12).map((term) => [term.term,
          `${term.query_weight.toFixed(3)} × ${term.document_weight.toFixed(3)}`, number(term.contribution), term.kind])));
    }
    const others = Object.entries(found.others);
    if (others.length) parts.push(table("Rank under other fusions", ["fusion", "rank"], others.map(([name, rank]) => [name, rank || "–"])));
    why.replaceChildren(...parts);
  } catch (error) {
    why.replaceChildren();
    why.hidden = true;
    button.setAttribute("aria-expanded", "false");
    fail(error);
  }
}

function thumbs(docId) {
  const buttons = [["relevant", 1], ["not relevant", 0]].map(([name, grade]) => {
    const pressed = String(state.judged[docId] === grade);
    const button = make("button", { type: "button", textContent: name, data: { "aria-pressed": pressed } });
    button.addEventListener("click", async () => {
      const shown = [...document.querySelectorAll(".fused li")].map((one) => one.dataset.id).slice(0, 100);
      try {
        await call("judgments", { query: state.found.query, doc_id: docId, grade, who: at("who").value, shown });
        state.judged[docId] = grade;
        buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
        at("said").textContent = `Judged ${docId}: ${name}.`;
      } catch (error) {
        fail(error);
      }
    });
    return button;
  });
  return buttons;
}

// Keys, theme, start

function move(step) {
  const items = [...document.querySelectorAll("#lists li")];
  const here = items.indexOf(document.activeElement.closest("li"));
  const next = items[here + step];
  if (next) next.focus();
  else if (step < 0) at("query").focus();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("query").select();
  } else if (event.key === "Escape") {
    const item = document.activeElement.closest("li");
    const open = item?.querySelector(".why:not([hidden])");
    if (open) item.querySelector("[aria-expanded]").click();
    else at("query").focus();
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && (!typing || event.target === at("query"))) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  }
});

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  const dark = name ? name === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  at("theme").setAttribute("aria-pressed", String(dark));
  return dark;
}

at("theme").addEventListener("click", () => {
  const next = theme(document.documentElement.dataset.theme) ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
});
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  state.weight = null;
  at("weight").value = 50;
  search();
});
at("weight").addEventListener("input", () => {
  state.weight = Number(at("weight").value) / 100;
  show();
  history.replaceState(null, "", hash());
});
at("reset").addEventListener("click", () => {
  state.weight = null;
  show();
  history.replaceState(null, "", hash());
});
at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", at("key").value);
  at("unlock").hidden = at("failed").hidden = true;
  start();
});
addEventListener("hashchange", () => {
  readHash();
  search();
});

async function start() {
  readHash();
  try {
    state.info = await call("index");
    const { default: standard, domains } = await call("fusions");
    at("index").textContent = `${state.info.documents.toLocaleString("en")} documents: ${state.info.source}`;
    at("judging").hidden = !state.info.judge;
    at("fusion").placeholder = standard;
    const choices = new Set([standard, ...Object.values(domains), "rrf(k=60)", ...Object.keys(state.info.kinds)]);
    at("fusions").replaceChildren(...[...choices].map((value) => make("option", { value })));
    at("filter").placeholder = state.info.field_names.length ? `fields: ${state.info.field_names.join(", ")}` : "no fields in this index";
    await search();
  } catch (error) {
    fail(error);
  }
  if (!location.hash) at("query").focus();
}

theme(localStorage.getItem("theme"));
start();
