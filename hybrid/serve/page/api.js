// Calls of the API, with the key of this tab.

import { at } from "./dom.js";

export async function call(path, body) {
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
