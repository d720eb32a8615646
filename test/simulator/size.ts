/** Few seeds in `npm test`; OUTERLOOP_TEST_SIMULATOR=full runs the numbers that docs/simulator.md tells of. */
const isFull = process.env["OUTERLOOP_TEST_SIMULATOR"] === "full";

const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index);

/** Of the simulation alone. */
export const simulatedSeeds = isFull ? 10_000 : 150;

/** Of the model beside a real store, which takes seconds each. */
export const conformanceSeeds = isFull
  ? { embedded: range(1, 20), postgres: range(100, 200) }
  : { embedded: range(1, 1), postgres: range(102, 3) };

/** The quickest to be found come first. */
export const plantedBugs = isFull ? Infinity : 2;
