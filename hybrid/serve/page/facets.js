// Values of fields among the first documents; a click keeps those with a value, another lets go.

import { at, make } from "./dom.js";
import { state } from "./state.js";

const VALUES = 8;
export const MOST_FIELDS = 20;

function toggle(filter, text, search) {
  const pressed = state.chosen.includes(filter);
  const button = make("button", { type: "button", textContent: text, title: filter, data: { "aria-pressed": String(pressed) } });
  button.addEventListener("click", () => {
    state.chosen = pressed ? state.chosen.filter((one) => one !== filter) : [...state.chosen, filter];
    search();
  });
  return button;
}

const group = (name, buttons) => make("fieldset", {}, make("legend", { textContent: name }), ...buttons);

export function showFacets(facets, search) {
  const groups = [];
  const there = new Set();
  for (const [field, values] of Object.entries(facets)) {
    const kept = values.filter((one, i) => i < VALUES || state.chosen.includes(one.filter));
    if (!values.some((one) => one.count > 1 || state.chosen.includes(one.filter))) continue;
    kept.forEach((one) => there.add(one.filter));
    const buttons = kept.map((one) => toggle(one.filter, `${one.value} (${one.count})`, search));
    if (kept.length < values.length) {
      buttons.push(make("span", { className: "quiet", textContent: `and ${values.length - kept.length} more` }));
    }
    groups.push(group(field, buttons));
  }
  const others = state.chosen.filter((filter) => !there.has(filter));
  if (others.length) groups.unshift(group("chosen", others.map((filter) => toggle(filter, filter, search))));
  at("facets").hidden = !groups.length;
  at("values").replaceChildren(...groups);
}
