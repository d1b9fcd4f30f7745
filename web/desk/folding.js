// Names as they are compared when somebody searches for one; sortline/folding.py does the same, by the same tables.

// @ts-types="./letters.d.ts"
import { LETTERS, MARKS, SEPARATORS } from "./letters.js";

const marks = new RegExp(`[${MARKS}]`, "gu");
const separators = new RegExp(`[${SEPARATORS}]+`, "gu");

/** @param {string} text */
export function fold(text) {
  const small = text.normalize("NFKD").toLowerCase().normalize("NFKD").replace(marks, "");
  return [...small].map((each) => LETTERS[each] ?? each).join("").replace(separators, " ").trim();
}
