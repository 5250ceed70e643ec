// The page: searches, the slider, keys, the theme, the start.

import { call } from "./api.js";
import { at, fail, make } from "./dom.js";
import { MOST_FIELDS, showFacets } from "./facets.js";
import { lists } from "./lists.js";
import { mainRows, otherLists } from "./rank.js";
import { asked, keepInAddress, readAddress, state } from "./state.js";

async function search() {
  const body = asked();
  if (!body.query.trim()) return;
  const mine = ++state.asked;
  at("failed").hidden = true;
  at("said").textContent = "Searching…";
  keepInAddress();
  document.title = `${body.query} – hybrid search`;
  try {
    const facets = Object.keys(state.info.fields).slice(0, MOST_FIELDS);
    const found = await call("search", { ...body, facets, candidates: true });
    if (mine !== state.asked) return;
    state.found = { facets: {}, ...found, k: body.k, filter: body.filter };
    state.judged = {};
    showFacets(state.found.facets, search);
    show();
  } catch (error) {
    if (mine !== state.asked) return;
    state.found = null;
    at("lists").replaceChildren();
    at("weighing").hidden = at("legend").hidden = true;
    showFacets({}, search);
    fail(error);
  }
}

function show() {
  const { candidates, hits, fusion, milliseconds, filter, rerank } = state.found;
  const oneKind = new Set(Object.values(candidates.kinds)).size < 2;
  if (oneKind) state.weight = null;
  const { weight } = state;
  const rows = mainRows(state.found, weight);
  at("weighing").hidden = oneKind || !hits.length;
  at("legend").hidden = !hits.length;
  at("reset").hidden = weight === null;
  at("weight-said").textContent = weight === null ? "as in the index" : weight.toFixed(2);
  const again = rerank ? `, the first ${rerank.depth} reranked by ${rerank.model},` : "";
  const by = weight === null ? fusion + again : `weight ${weight.toFixed(2)} over ${candidates.norm}`;
  at("said").textContent = hits.length
    ? `${rows.length} hits by ${by} in ${milliseconds} ms`
    : `Nothing found${filter ? " among the documents that the filter lets through" : ""}. Try other words.`;
  const name = rerank && weight === null ? "reranked" : "fused";
  at("lists").replaceChildren(
    ...(hits.length ? lists(name, rows, otherLists(state.found, weight), candidates.branches) : []));
}

function weigh(weight) {
  state.weight = weight;
  show();
  keepInAddress();
}

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
at("weight").addEventListener("input", () => weigh(Number(at("weight").value) / 100));
at("reset").addEventListener("click", () => weigh(null));
at("rerank").addEventListener("change", search);
at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", at("key").value);
  at("unlock").hidden = at("failed").hidden = true;
  start();
});
addEventListener("hashchange", () => {
  readAddress();
  search();
});

async function start() {
  readAddress();
  try {
    state.info = await call("index");
    const { default: standard, domains } = await call("fusions");
    const { documents, source, judge, rerank, kinds, fields } = state.info;
    const names = Object.keys(fields).sort();
    at("index").textContent = `${documents.toLocaleString("en")} documents: ${source}`;
    at("judging").hidden = !judge;
    at("reranking").hidden = !rerank;
    at("reranking").title = rerank ? `by ${rerank}` : "";
    at("rerank").checked &&= Boolean(rerank);
    at("fusion").placeholder = standard ?? "tuned by another version: tune it again";
    const choices = new Set([...(standard ? [standard] : []), ...Object.values(domains), "rrf(k=60)", ...Object.keys(kinds)]);
    at("fusions").replaceChildren(...[...choices].map((value) => make("option", { value })));
    at("filter").placeholder = names.length ? `fields: ${names.join(", ")}` : "no fields in this index";
    await search();
  } catch (error) {
    fail(error);
  }
  if (!location.hash) at("query").focus();
}

at("facets").open = innerWidth >= 960;
theme(localStorage.getItem("theme"));
start();
