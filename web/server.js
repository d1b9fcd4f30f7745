// Talking to the server. A stale token of a session that was renewed elsewhere is renewed here and the question asked
// again; so no answer says "not of this session" while the person is signed in.

import { link } from "./link.js";

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
export const user = meta("user");
let csrf = meta("csrf");

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// What may pass: the connection, the server's troubles, and answers that are not of our server.
export const passing = (error) => !(error instanceof Refused) || error.status >= 500 || error.status === 429;
export const isAway = (error) => !(error instanceof Refused);

export async function call(path, body) {
  const used = csrf;
  try {
    return await ask(path, body);
  } catch (error) {
    if (error.status !== 403 || body === undefined) throw error;
    await renewed();
    if (csrf === used) throw error; // it is of this session, and refused all the same
    return ask(path, body);
  }
}

// Who is signed in now: the same person, with the token of their newest session. Anybody else gets a page of their own.
export async function renewed() {
  const who = await ask("session");
  if (String(who.id) !== user) {
    location.reload(); // what is kept here stays theirs
    await new Promise(() => {});
  }
  csrf = who.csrf;
}

async function ask(path, body) {
  const options = { headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.headers["X-CSRF-Token"] = csrf;
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(link(`/desk/${path}`), { ...options, signal: AbortSignal.timeout(15_000) });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => null);
    const said = problem?.detail || `the server answered ${answer.status}`;
    // Ours are problems in JSON: a proxy's "not found" while the server restarts refuses nothing.
    if (!problem?.detail && answer.status < 500) throw new Error(said);
    throw new Refused(answer.status, said);
  }
  return (answer.headers.get("content-type") || "").startsWith("application/json") ? answer.json() : answer.text();
}
