/** What lies between a process and what it asks: time, and now and then a request or a reply that is lost. */
import type { Random } from "./random.ts";
import { currentActor, type World } from "./world.ts";

export interface Weather {
  /** Of a request that never arrives. */
  lostRequests: number;
  /** Of a reply that never comes back: what was asked has happened. */
  lostReplies: number;
  /** Of a request or reply that takes long. */
  slow: number;
  slowMs: number;
  /** Until then nobody reaches it. */
  awayUntil: number;
}

export const fairWeather = (): Weather => ({ lostRequests: 0, lostReplies: 0, slow: 0, slowMs: 0, awayUntil: 0 });

/**
 * Asks `answer` at an instant of its own. It is asked even if the process dies meanwhile, since the request is on its way;
 * a reply to a process that is gone reaches nobody.
 */
export function callOver<Reply>(
  world: World,
  random: Random,
  weather: Weather,
  answer: () => Reply,
  broken: () => Error,
): Promise<Reply> {
  const actor = currentActor();
  const latency = () => (random.chance(weather.slow) ? random.int(1, weather.slowMs) : random.int(0, 3));
  return new Promise((resolve, reject) => {
    const fail = (afterMs: number) => world.after(afterMs, actor, () => reject(broken()));
    if (weather.awayUntil > world.now) return void fail(random.int(1, 2000));
    if (random.chance(weather.lostRequests)) return void fail(random.int(1, 5000));
    world.after(latency(), null, () => {
      let settle: () => void;
      try {
        const reply = answer();
        settle = () => resolve(reply);
      } catch (thrown) {
        settle = () => reject(thrown as Error);
      }
      if (random.chance(weather.lostReplies)) return void fail(random.int(1, 5000));
      world.after(latency(), actor, settle);
    });
  });
}
