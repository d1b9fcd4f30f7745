// How long the person has looked at the document before them.

const IDLE_MS = 30_000; // someone who touches nothing for this long is not reading
const TICK_MS = 250;
const LONGEST_TICK_MS = 1000; // browsers slow the timers of hidden pages

let spent = 0; // milliseconds on this document
let lastInput = performance.now();
let lastTick = performance.now();

export const touched = () => (lastInput = performance.now());
export const untouchedFor = () => performance.now() - lastInput;
export const seconds = () => Math.round(spent / 100) / 10;
export const startAgain = () => (spent = 0);

for (const kind of ["pointerdown", "pointermove", "wheel", "touchstart"])
  document.addEventListener(kind, touched, { passive: true });

setInterval(() => {
  const now = performance.now();
  const here = !document.hidden && document.hasFocus() && untouchedFor() < IDLE_MS;
  if (here) spent += Math.min(now - lastTick, LONGEST_TICK_MS);
  lastTick = now;
}, TICK_MS);
