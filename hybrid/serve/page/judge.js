// Thumbs that append a judgment, with the list that was shown.

import { call } from "./api.js";
import { at, fail, make } from "./dom.js";
import { state } from "./state.js";

export function thumbs(docId) {
  const buttons = [["relevant", 1], ["not relevant", 0]].map(([name, grade]) => {
    const pressed = String(state.judged[docId] === grade);
    const button = make("button", { type: "button", textContent: name, data: { "aria-pressed": pressed } });
    button.addEventListener("click", async () => {
      const shown = [...document.querySelectorAll(".hits li")].map((one) => one.dataset.id).slice(0, 100);
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
