// Talks to the server. If the session was renewed elsewhere, its stale token is renewed here and the request repeated,
// so a request never fails because of the token while the person is signed in.

import { link } from "../scripts/link.js";
import { needsFactor, Refused, Strange, statusOf } from "./errors.js";

/** @param {string} name */
function meta(name) {
  const found = document.querySelector(`meta[name="${name}"]`);
  if (!(found instanceof HTMLMetaElement)) throw new Error(`the meta element ${name} is missing from this page`);
  return found.content;
}

export const user = meta("user");
let csrf = meta("csrf");

/** @type {(name: string) => void} */
let another = () => {};

/** @param {(name: string) => void} does what to do once another person, of this name, is signed in */
export const onAnother = (does) => (another = does);

/**
 * Ask a route of the desk, by POST where there is a body.
 * @param {string} path after /desk/
 * @param {object} [body]
 * @returns {Promise<any>} the JSON of its answer
 */
export async function call(path, body) {
  const used = csrf;
  try {
    return await ask(path, body);
  } catch (error) {
    if (statusOf(error) !== 403 || needsFactor(error) || body === undefined) throw error;
    await renewed();
    if (csrf === used) throw error; // the token is current, and the request was refused all the same
    return ask(path, body);
  }
}

// Who is signed in now: the same person, with the token of their newest session. For another person nothing is sent.
export async function renewed() {
  /** @type {{ id?: number, name: string, csrf: string }} */
  const who = await ask("session");
  if (!who.id) throw new Strange("the answer did not come from Sortline");
  if (String(who.id) !== user) {
    another(who.name);
    throw new Refused(401, `${who.name} is signed in now`);
  }
  csrf = who.csrf;
}

/**
 * @param {string} path
 * @param {object} [body]
 */
async function ask(path, body) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  // Whose page this is tells the server a token of the person's earlier session from one of somebody else.
  const whose = { "X-CSRF-Token": csrf, "X-Person": user };
  if (body !== undefined) Object.assign(headers, { "Content-Type": "application/json", ...whose });
  const answer = await fetch(link(`/desk/${path}`), {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  const kind = (answer.headers.get("content-type") || "").split(";")[0];
  if (answer.ok && kind === "application/json") return answer.json();
  const problem = kind === "application/problem+json" ? await answer.json() : null;
  if (problem) throw new Refused(answer.status, problem.detail, problem.reason);
  throw new Strange(`the answer did not come from Sortline (${answer.status})`);
}
