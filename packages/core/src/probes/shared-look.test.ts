import { expect, test } from "vitest";
import { shareLook } from "./shared-look.ts";

test("who asks while a look is under way or shortly after shares it; later ones look again", async () => {
  let time = 0;
  const looks: PromiseWithResolvers<number>[] = [];
  const ask = shareLook(
    1000,
    () => {
      looks.push(Promise.withResolvers<number>());
      return looks.at(-1)!.promise;
    },
    () => time,
  );
  const first = ask();
  time = 5000;
  const second = ask();
  expect(looks).toHaveLength(1);
  looks[0]!.resolve(1);
  expect(await Promise.all([first, second])).toEqual([1, 1]);

  const third = ask();
  time = 5999;
  expect(ask()).toBe(third);
  expect(looks).toHaveLength(2);
  looks[1]!.reject(new Error("away"));
  await expect(third).rejects.toThrow("away");
  time = 6000;
  const fourth = ask();
  looks[2]!.resolve(2);
  expect(await fourth).toBe(2);
});
