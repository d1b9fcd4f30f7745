// The address of one of our own pages or routes: this script lies where all of them begin, wherever a proxy put that.

export const link = (path) => new URL(`.${path}`, import.meta.url);
