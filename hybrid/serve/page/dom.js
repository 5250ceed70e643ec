// Elements by id and new ones. Texts of queries and documents reach the page through text alone.

export const at = (id) => document.getElementById(id);

export function make(tag, given = {}, ...inside) {
  const { data, ...rest } = given;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(data || {})) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

export function table(caption, names, rows) {
  return make("table", {}, make("caption", { textContent: caption }),
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { textContent: name, scope: "col" })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", { textContent: cell }))))));
}

export function fail(error) {
  at("failed").textContent = error.message;
  at("failed").hidden = false;
  at("said").textContent = "";
}
