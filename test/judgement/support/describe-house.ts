/** A file's tests over one house. All goals are under way at once: a deployment has many, and the suite is over sooner. */
import { afterAll, beforeAll, describe } from "vitest";
import { openHouse, type House, type ProtocolName, type Scene } from "./house.ts";

/** What is said of some scenes. */
export interface Cases {
  readonly scenes: readonly Scene[];
  readonly tests: (house: () => House) => void;
}

export function describeHouse(protocol: ProtocolName, cases: readonly Cases[]): void {
  describe(`judgement, ${protocol}`, () => {
    let house: House;
    beforeAll(async () => {
      house = await openHouse(protocol);
      for (const { scenes } of cases) for (const scene of scenes) void house.play(scene);
    }, 120_000);
    afterAll(() => house?.close(), 120_000);
    for (const { tests } of cases) tests(() => house);
  });
}
