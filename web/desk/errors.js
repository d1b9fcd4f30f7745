// What can come instead of the expected answer, and what to do about it.

/** Our own server refused. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {string} [reason] by which a script knows what can be mended
   */
  constructor(status, detail, reason) {
    super(detail);
    this.status = status;
    this.reason = reason;
  }
}

/** An answer that our server did not give: a proxy's page, a network's own sign-in. */
export class Strange extends Error {}

// Asking again does not change these. All else may pass: lost connections, ended sessions, server problems.
const FINAL = [404, 409, 413, 422];

/**
 * The status of our server's own answer; null: there was none.
 * @param {unknown} error
 */
export const statusOf = (error) => (error instanceof Refused ? error.status : null);

/** @param {unknown} error */
export const passing = (error) => !FINAL.includes(statusOf(error) ?? 0);

/** @param {unknown} error */
export const signedOut = (error) => statusOf(error) === 401;

/**
 * Whether the person must set up a second factor before they can go on.
 * @param {unknown} error
 */
export const needsFactor = (error) => error instanceof Refused && error.reason === "second_factor";

/** @param {unknown} error */
export const isAway = (error) => !(error instanceof Refused || error instanceof Strange);

/** @param {unknown} error */
export const wordsOf = (error) => (error instanceof Error ? error.message : String(error));
