import { createRedactor, OuterloopError } from "@outerloop/core";
import { expect, test } from "vitest";
import { invalid, problemOf, Refusal } from "./problem.ts";

test.each(["sk-test-0123456789abcdef", 'a "quoted"\\key', "nabcdef", "line\nend", "p@ss/w%rd", "u0001abc"])(
  "a secret never survives in a problem document, whoever's error it is: %j",
  async (planted) => {
    const redactor = createRedactor([planted]);
    const said = `the server said:\n${planted}\n!`;
    for (const thrown of [
      new OuterloopError("model_unavailable", said, { retry: "backoff", cause: new Error(said) }),
      new Refusal("conflict", said),
      invalid(planted, said),
      new Error(said),
    ]) {
      const text = await problemOf(thrown, "r_1", redactor).text();
      const document: unknown = JSON.parse(text);
      expect(document).toMatchObject({ instance: "urn:outerloop:request:r_1" });
      JSON.parse(text, (name, value: unknown) => {
        for (const each of [name, value]) expect(String(each)).not.toContain(planted);
        return value;
      });
    }
  },
);
