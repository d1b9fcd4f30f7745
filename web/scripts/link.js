// Addresses of our own pages and routes. This script's own address says where they begin, wherever a proxy put that.

/**
 * @param {string} path as its route has it, with the slash before it
 * @returns {URL}
 */
export const link = (path) => new URL(`../..${path}`, import.meta.url);
