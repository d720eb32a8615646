// The one line that set-up shows: live on a terminal, first and last state elsewhere.

const width = 6;
const redrawMs = 100;

/** @param {{label: string, stream?: NodeJS.WriteStream}} options */
export function createProgress({ label, stream = process.stderr }) {
  const startedAt = performance.now();
  const bars = new Map();
  let drawnAt = -Infinity;

  const line = (end) => {
    const drawn = [...bars].map(([name, done]) => `${name} ${bar(done)}`).join(" ");
    return `${label}: ${drawn}  ${Math.round((performance.now() - startedAt) / 1000)} s${end}`;
  };
  const draw = () => {
    if (!stream.isTTY || performance.now() - drawnAt < redrawMs) return;
    drawnAt = performance.now();
    stream.write(`\r\x1b[K${line("")}`);
  };
  // Seconds go on while a download says nothing.
  const tick = setInterval(draw, 500);
  tick.unref();

  return {
    /** Announces what will be shown, in order. */
    begin(names) {
      for (const name of names) bars.set(name, 0);
      if (!stream.isTTY) stream.write(`${label}: ${names.join(" and ")} …\n`);
      draw();
    },
    /** `done` from 0 to 1. */
    set(name, done) {
      if (bars.has(name)) bars.set(name, Math.max(bars.get(name), done));
      draw();
    },
    finish() {
      clearInterval(tick);
      for (const name of bars.keys()) bars.set(name, 1);
      stream.write(`${stream.isTTY ? "\r\x1b[K" : ""}${line(" (once)")}\n`);
    },
    /** Leaves what is drawn and moves on, so that a message starts on its own line. */
    abort() {
      clearInterval(tick);
      if (stream.isTTY) stream.write("\n");
    },
  };
}

function bar(done) {
  const full = Math.floor(Math.min(1, done) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}
