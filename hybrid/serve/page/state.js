// The state of the page, and what is asked: in the form, in requests and in the address.

import { at, make } from "./dom.js";

// chosen: filters of facets. weight: of the slider, null for the fusion of the index.
export const state = { found: null, info: null, weight: null, chosen: [], asked: 0, judged: {} };

function formValues() {
  const values = { query: at("query").value, k: at("k").value };
  for (const id of ["filter", "fusion"]) if (at(id).value.trim()) values[id] = at(id).value;
  if (at("rerank").checked) values.rerank = "yes";
  return values;
}

export function asked() {
  const { query, k, filter, fusion, rerank } = formValues();
  const typed = filter && state.chosen.length ? `(${filter})` : filter;
  const filters = [...(typed ? [typed] : []), ...state.chosen];
  return {
    query, k: Number(k), rerank: Boolean(rerank),
    ...(fusion ? { fusion } : {}), ...(filters.length ? { filter: filters.join(" and ") } : {}),
  };
}

export function keepInAddress() {
  const kept = new URLSearchParams(formValues());
  for (const filter of state.chosen) kept.append("facet", filter);
  if (state.weight !== null) kept.set("weight", state.weight);
  history.replaceState(null, "", `#${kept}`);
}

export function readAddress() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const id of ["query", "filter", "fusion"]) at(id).value = kept.get(id) || "";
  const k = kept.get("k") || "10";
  if (![...at("k").options].some((one) => one.value === k)) at("k").append(make("option", { textContent: k }));
  at("k").value = k;
  at("rerank").checked = kept.has("rerank");
  state.chosen = kept.getAll("facet");
  const weight = kept.has("weight") ? Number(kept.get("weight")) : NaN;
  state.weight = weight >= 0 && weight <= 1 ? weight : null;
  at("weight").value = state.weight === null ? 50 : Math.round(100 * state.weight);
}
