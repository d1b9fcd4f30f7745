// Addresses of our own pages and routes. They begin where this script's own address does, wherever a proxy puts that.

/**
 * @param {string} path as its route has it, with the slash before it
 * @returns {URL}
 */
export const link = (path) => new URL(`../..${path}`, import.meta.url);
