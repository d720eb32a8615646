import { afterEach, expect, test, vi } from "vitest";
import { createGatherer, type Answer, type GathererOptions } from "./gatherer.ts";

type Reply = Answer<string> | "busy";

interface Sent {
  readonly items: readonly string[];
  readonly wait: boolean;
  answer(replies: readonly Reply[]): void;
  fail(thrown: unknown): void;
}

/** A gatherer whose batches a test answers by hand, in whatever order. */
function byHand(limits: Partial<Pick<GathererOptions<string, string>, "maxItems" | "maxBytes" | "gatherMs">> = {}) {
  const unseen: Sent[] = [];
  const watchers: ((sent: Sent) => void)[] = [];
  const gatherer = createGatherer<string, string>({
    maxItems: 100,
    maxBytes: 1_000_000,
    ...limits,
    bytesOf: (item) => item.length,
    send: (items, wait) =>
      new Promise((answer, fail) => {
        const sent = { items, wait, answer, fail };
        const watcher = watchers.shift();
        if (watcher === undefined) unseen.push(sent);
        else watcher(sent);
      }),
  });
  return {
    ...gatherer,
    /** What is under way and was not looked at yet. */
    unseen,
    /** The next batch that is sent. */
    next: (): Promise<Sent> => {
      const sent = unseen.shift();
      return sent === undefined ? new Promise((resolve) => watchers.push(resolve)) : Promise.resolve(sent);
    },
  };
}

afterEach(() => void vi.useRealTimers());

const echo = (items: readonly string[]): Reply[] => items.map((item) => ({ reply: `did ${item}` }));
const done = (sent: Sent) => sent.answer(echo(sent.items));
/** Every turn that a gatherer which had something to do would have needed. */
const turns = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

test("1: one batch is under way at a time, and what comes meanwhile goes with the next, in its order", async () => {
  const hand = byHand();
  const first = [hand.add("a"), hand.add("b")];
  const batch = await hand.next();
  expect(batch).toMatchObject({ items: ["a", "b"], wait: false });
  const second = ["c", "d", "e"].map((item) => hand.add(item));
  await turns();
  expect(hand.unseen, "sent while another was under way").toEqual([]);
  done(batch);
  expect(await Promise.all(first)).toEqual(["did a", "did b"]);
  const next = await hand.next();
  expect(next.items).toEqual(["c", "d", "e"]);
  done(next);
  expect(await Promise.all(second)).toEqual(["did c", "did d", "did e"]);
});

test("what an answer brings in the same turn goes with the next batch, not with the one after", async () => {
  const hand = byHand();
  const goesOn = hand.add("a").then(() => hand.add("a, next"));
  const batch = await hand.next();
  const waiting = hand.add("b");
  done(batch);
  const next = await hand.next();
  expect(next.items).toEqual(["b", "a, next"]);
  done(next);
  expect(await Promise.all([goesOn, waiting])).toEqual(["did a, next", "did b"]);
});

test("a gatherer that came to rest begins again", async () => {
  const hand = byHand();
  for (const item of ["a", "b"]) {
    const added = hand.add(item);
    done(await hand.next());
    expect(await added).toBe(`did ${item}`);
    await turns();
  }
});

test("2: a batch has no more items than its bound", async () => {
  const hand = byHand({ maxItems: 3 });
  const all = Array.from("abcdefgh").map((item) => hand.add(item));
  const sizes: string[] = [];
  for (let batch = 0; batch < 3; batch += 1) {
    const sent = await hand.next();
    sizes.push(sent.items.join(""));
    done(sent);
  }
  expect(sizes).toEqual(["abc", "def", "gh"]);
  await Promise.all(all);
});

test("2: a batch has no more bytes than its bound, and one larger item goes by itself", async () => {
  const hand = byHand({ maxBytes: 10 });
  const items = ["12345", "67890", "1", "x".repeat(50), "2", "3"];
  const all = items.map((item) => hand.add(item));
  const batches: (readonly string[])[] = [];
  for (let batch = 0; batch < 4; batch += 1) {
    const sent = await hand.next();
    batches.push(sent.items);
    done(sent);
  }
  expect(batches).toEqual([["12345", "67890"], ["1"], ["x".repeat(50)], ["2", "3"]]);
  await Promise.all(all);
});

test("3: a batch waits for more as long as it is told to, and then takes all that came", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const hand = byHand({ gatherMs: () => 15 });
  const added = [hand.add("a")];
  await turns();
  vi.advanceTimersByTime(14);
  added.push(hand.add("b"));
  await turns();
  expect(hand.unseen, "sent before its time").toEqual([]);
  vi.advanceTimersByTime(1);
  const batch = await hand.next();
  expect(batch.items).toEqual(["a", "b"]);
  done(batch);
  expect(await Promise.all(added)).toEqual(["did a", "did b"]);
});

test("3: a batch that is full waits no longer, and the next one waits anew", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const hand = byHand({ gatherMs: () => 15, maxItems: 2 });
  const added = ["a", "b", "c"].map((item) => hand.add(item));
  const full = await hand.next();
  expect(full.items).toEqual(["a", "b"]);
  done(full);
  await turns();
  expect(hand.unseen, "sent though it was not full").toEqual([]);
  added.push(hand.add("d"));
  const next = await hand.next();
  expect(next.items).toEqual(["c", "d"]);
  done(next);
  expect(await Promise.all(added)).toEqual(["did a", "did b", "did c", "did d"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("4: what is busy goes first in the next batch, and the fifth time alone, told to wait", async () => {
  const hand = byHand();
  const held = hand.add("held");
  for (let round = 1; round <= 5; round += 1) {
    const free = hand.add(`free ${round}`);
    const sent = await hand.next();
    expect(sent).toMatchObject({ items: ["held", `free ${round}`], wait: false });
    sent.answer(["busy", { reply: "free" }]);
    expect(await free).toBe("free");
  }
  const alone = await hand.next();
  expect(alone).toMatchObject({ items: ["held"], wait: true });
  const others = [hand.add("x"), hand.add("y")];
  const batch = await hand.next();
  expect(batch.items, "others do not wait for it").toEqual(["x", "y"]);
  done(batch);
  await Promise.all(others);
  done(alone);
  expect(await held).toBe("did held");
});

test("4: what is busy with nobody beside it waits at once, and whoever comes meanwhile does not wait for it", async () => {
  const hand = byHand();
  const held = hand.add("held");
  const first = await hand.next();
  expect(first).toMatchObject({ items: ["held"], wait: false });
  first.answer(["busy"]);
  const alone = await hand.next();
  expect(alone).toMatchObject({ items: ["held"], wait: true });
  const other = hand.add("other");
  done(await hand.next());
  expect(await other).toBe("did other");
  done(alone);
  expect(await held).toBe("did held");
});

test("4: two at most wait at once, and the next one's turn comes with an answer, good or bad", async () => {
  const hand = byHand();
  const items = ["a", "b", "c", "d"];
  const all = items.map((item) => hand.add(item));
  for (let round = 1; round <= 5; round += 1) (await hand.next()).answer(items.map(() => "busy"));
  const [a, b] = [await hand.next(), await hand.next()];
  await turns();
  expect(hand.unseen, "a third one").toEqual([]);
  b.fail(new Error("lost"));
  await expect(all[1]).rejects.toThrow("lost");
  const c = await hand.next();
  done(a);
  done(c);
  done(await hand.next());
  expect(await Promise.all([all[0], all[2], all[3]])).toEqual(["did a", "did c", "did d"]);
});

test("4: what comes back busy though it waited is told, and not sent for ever", async () => {
  const hand = byHand();
  const held = hand.add("held");
  (await hand.next()).answer(["busy"]);
  (await hand.next()).answer(["busy"]);
  await expect(held).rejects.toThrow("busy, though it waited");
  await turns();
  expect(hand.unseen).toEqual([]);
});

test("one item's failure is its own", async () => {
  const hand = byHand();
  const [a, b, c] = ["a", "b", "c"].map((item) => hand.add(item));
  (await hand.next()).answer([{ reply: "did a" }, { thrown: new Error("b is bad") }, { reply: "did c" }]);
  await expect(b).rejects.toThrow("b is bad");
  expect(await Promise.all([a, c])).toEqual(["did a", "did c"]);
});

test("a batch that fails rejects its own items, and later ones still go", async () => {
  const hand = byHand();
  const lost = ["a", "b"].map((item) => hand.add(item));
  const batch = await hand.next();
  const later = ["c", "d"].map((item) => hand.add(item));
  batch.fail(new Error("the wire broke"));
  for (const each of await Promise.allSettled(lost))
    expect(each).toMatchObject({ status: "rejected", reason: { message: "the wire broke" } });
  done(await hand.next());
  expect(await Promise.all(later)).toEqual(["did c", "did d"]);
});

test("a send that throws before it has begun is a batch that failed", async () => {
  let calls = 0;
  const gatherer = createGatherer<string, string>({
    maxItems: 10,
    maxBytes: 1000,
    bytesOf: () => 1,
    send(items) {
      calls += 1;
      if (calls <= 2) throw new Error("not begun");
      return Promise.resolve(echo(items));
    },
  });
  const [a, b] = [gatherer.add("a"), gatherer.add("b")];
  await expect(a).rejects.toThrow("not begun");
  await expect(b).rejects.toThrow("not begun");
  await expect(gatherer.add("c"), "alone").rejects.toThrow("not begun");
  expect(await gatherer.add("d")).toBe("did d");
});

test("an answer that leaves somebody out is a fault that he is told of", async () => {
  const hand = byHand();
  const [a, b] = [hand.add("a"), hand.add("b")];
  (await hand.next()).answer([{ reply: "did a" }]);
  expect(await a).toBe("did a");
  await expect(b).rejects.toThrow("no answer");
});

test("whatever comes when, and however it is answered: all are answered, each once and with its own", async () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = mulberry(seed);
    const int = (below: number) => Math.floor(random() * below);
    const maxItems = 1 + int(8);
    const maxBytes = 1 + int(40);
    let plainUnderWay = 0;
    let waiting = 0;
    const pending: Sent[] = [];
    const applied = new Map<string, number>();
    const gatherer = createGatherer<string, string>({
      maxItems,
      maxBytes,
      bytesOf: (item) => item.length,
      send: (items, wait) => {
        expect(items.length).toBeGreaterThan(0);
        expect(items.length).toBeLessThanOrEqual(maxItems);
        const bytes = items.reduce((sum, item) => sum + item.length, 0);
        if (items.length > 1) expect(bytes).toBeLessThanOrEqual(maxBytes);
        if (wait) {
          expect(items).toHaveLength(1);
          expect((waiting += 1), "that wait").toBeLessThanOrEqual(2);
        } else expect((plainUnderWay += 1), "batches under way").toBe(1);
        return new Promise<readonly Reply[]>((answer, fail) => pending.push({ items, wait, answer, fail })).finally(
          () => (wait ? (waiting -= 1) : (plainUnderWay -= 1)),
        );
      },
    });
    const wanted = 60;
    const outcomes: Promise<string>[] = [];
    let added = 0;
    // Ends: each turn adds an item or answers a batch, and there are ends to both.
    while (added < wanted || pending.length > 0) {
      if (added < wanted && random() < 0.6) {
        const item = `${added++}:${"x".repeat(int(12))}`;
        outcomes.push(gatherer.add(item).catch((thrown: Error) => `failed ${thrown.message}`));
      } else if (pending.length > 0) {
        const [sent] = pending.splice(int(pending.length), 1);
        if (random() < 0.05) sent!.fail(new Error(sent!.items.join(",")));
        else
          sent!.answer(
            sent!.items.map((item): Reply => {
              const kind = random();
              if (kind < 0.3 && !sent!.wait) return "busy";
              if (kind < 0.4) return { thrown: new Error(item) };
              applied.set(item, (applied.get(item) ?? 0) + 1);
              return { reply: item };
            }),
          );
      }
      await turns();
    }
    const answers = await Promise.all(outcomes);
    expect(answers).toHaveLength(wanted);
    for (const [index, answer] of answers.entries()) expect(answer).toContain(`${index}:`);
    for (const [item, times] of applied) expect(times, item).toBe(1);
    expect(answers.filter((answer) => !answer.startsWith("failed")).toSorted()).toEqual([...applied.keys()].toSorted());
  }
});

/** The same numbers every time. */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
