/** Each protocol has its part of the suite in `npm test`; OUTERLOOP_TEST_JUDGEMENT=full puts every lie to every protocol. */
export function sized<Value>(quick: Value, full: Value): Value {
  return process.env["OUTERLOOP_TEST_JUDGEMENT"] === "full" ? full : quick;
}
