// Talking to the server. A stale token of a session that was renewed elsewhere is renewed here and the question asked
// again; so no answer says "not of this session" while the person is signed in.

import { link } from "./link.js";

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
export const user = meta("user");
let csrf = meta("csrf");
let another = () => {};
export const onAnother = (does) => (another = does); // does(name): another person is signed in now

// An answer of our server that is not what was asked for.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// An answer that our server did not give: a proxy's page, a network's own sign-in.
class Strange extends Error {}

// What asking again does not change. All else may pass: the connection, the session, the server's troubles, strangers.
const FINAL = [404, 409, 413, 422];
export const passing = (error) => !(error instanceof Refused) || !FINAL.includes(error.status);
export const isAway = (error) => !(error instanceof Refused || error instanceof Strange);

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

// Who is signed in now: the same person, with the token of their newest session. Another one sends nothing from here.
export async function renewed() {
  const who = await ask("session");
  if (!who.id) throw new Strange("the server gave no answer of its own");
  if (String(who.id) !== user) {
    another(who.name);
    throw new Refused(401, `${who.name} is signed in now`);
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
  const kind = (answer.headers.get("content-type") || "").split(";")[0];
  if (answer.ok && kind === "application/json") return answer.json();
  const problem = kind === "application/problem+json" ? await answer.json() : null;
  if (problem) throw new Refused(answer.status, problem.detail);
  throw new Strange(`the server gave no answer of its own (${answer.status})`);
}
