/** Which models serve which stage, and whether they do. */
import {
  modelsResourceSchema,
  modelTestSchema,
  type ModelsResource,
  type ModelTestResource,
} from "@outerloop/core/domain";
import type { CallOptions } from "./goals.ts";
import type { Http } from "./http.ts";

export interface ModelCalls {
  get(options?: CallOptions): Promise<ModelsResource>;
  /** Lets a model that is held back be called again. Needs an admin's key. */
  release(model: string, options?: CallOptions): Promise<ModelsResource>;
  /** Asks for a test of all routes, and waits for its results. Needs an admin's key. */
  test(options?: CallOptions & { readonly waitMs?: number }): Promise<ModelTestResource>;
}

/** Times that a safe request is sent: with the waits between about 4 s. */
const tries = 5;
const lookEveryMs = 300;
/** Longer than a worker gives a test. */
const defaultWaitMs = 150_000;

export function createModelCalls(http: Http): ModelCalls {
  return {
    get: (options = {}) => http.json(modelsResourceSchema, { path: "/v1/models", tries, ...options }),
    release: (model, options = {}) =>
      http.json(modelsResourceSchema, { method: "POST", path: "/v1/models/release", body: { model }, ...options }),
    async test({ waitMs = defaultWaitMs, ...options } = {}) {
      const asked = await http.json(modelTestSchema, {
        method: "POST",
        path: "/v1/models/tests",
        body: {},
        ...options,
      });
      const until = performance.now() + waitMs;
      let test = asked;
      // Ends: with its results, or when nobody has made them in time.
      while (test.results === null && performance.now() < until) {
        await http.waiting.wait(lookEveryMs, options.signal);
        test = await http.json(modelTestSchema, { path: `/v1/models/tests/${asked.id}`, tries, ...options });
      }
      return test;
    },
  };
}
