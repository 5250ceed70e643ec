// Why a document has its rank, shown below it.

import { call } from "./api.js";
import { fail, make, table } from "./dom.js";
import { asked, state } from "./state.js";

const CAUSES = {
  filter: "the filter leaves it out",
  depth: "no branch has it within its depth",
  copy: "it is a copy of a better one",
  fusion: "the fusion ranks it lower",
  reranking: "scored again, it ranks lower",
};
const TERMS = 12;

const number = (value) => (value === null ? "–" : value.toFixed(4));
const said = (textContent) => make("p", { textContent });

function parts(found) {
  const place = found.score === null
    ? `No candidate of ${found.fusion}` : `Rank ${found.rank || "–"} of ${found.candidates} by ${found.fusion}`;
  const made = [table(place, ["branch", "rank", "own score", "weight", "part", "share"],
    found.branches.map((one) => [one.branch, one.rank || "–", number(one.score), number(one.weight),
      number(one.part), number(one.share)]))];
  if (found.missed) {
    const lacks = found.missed.lacks === null ? "" : `; it lacks ${number(found.missed.lacks)}`;
    made.unshift(said(`Not in the top ${found.missed.k}: ${CAUSES[found.missed.cause]}${lacks}.`));
  }
  const stays = found.branches.filter((one) => one.alphas).map(({ branch, alphas }) => {
    const spans = alphas.map(([low, high]) => `from ${low.toFixed(3)} to ${high.toFixed(3)}`);
    return `${branch} ${spans.join(", ") || "never"}`;
  });
  if (stays.length) made.push(said(`In the top k for a weight of ${stays.join("; ")}.`));
  for (const { branch, terms } of found.branches.filter((one) => one.terms.length)) {
    made.push(table(`Terms of ${branch}`, ["term", "query × document", "gives", "kind"],
      terms.slice(0, TERMS).map((one) => [one.term,
        `${one.query_weight.toFixed(3)} × ${one.document_weight.toFixed(3)}`, number(one.contribution), one.kind])));
  }
  for (const { branch, sentences } of found.branches.filter((one) => one.sentences.length)) {
    made.push(table(`Sentences nearest the query by ${branch}, each encoded by itself (an approximation)`,
      ["cosine", "sentence"], sentences.map((one) => [number(one.score), one.text])));
  }
  const others = Object.entries(found.others);
  if (others.length) made.push(table("Rank under other fusions", ["fusion", "rank"], others.map(([name, rank]) => [name, rank || "–"])));
  if (found.first) made.push(make("h4", { textContent: "Before it was reranked" }), ...parts(found.first));
  return made;
}

export async function toggleWhy(docId, button, why) {
  why.hidden = !why.hidden;
  button.setAttribute("aria-expanded", String(!why.hidden));
  if (why.hidden || why.childElementCount) return;
  why.textContent = "…";
  try {
    const { query, filter } = state.found;
    const found = await call("explain", { ...asked(), query, filter, doc_id: docId, sentences: true });
    why.replaceChildren(...parts(found));
  } catch (error) {
    why.replaceChildren();
    why.hidden = true;
    button.setAttribute("aria-expanded", "false");
    fail(error);
  }
}
