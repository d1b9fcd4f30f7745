// What letters.js holds, which the server writes from sortline/folding.py.

export const LETTERS: Record<string, string>;
export const MARKS: string;
export const SEPARATORS: string;
