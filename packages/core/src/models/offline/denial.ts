/** Whether a text denies what it names: "Go bindings were removed", "no Windows build", "is not thread-safe". */

/** Between a denial and what it denies: no end of a clause. */
const inClause = String.raw`[^.,;:!?()|]`;
const negation = String.raw`\b(?:no|not|never|without|lacks?|lacking|missing|cannot|unable|neither|nor|instead of|rather than|(?:do|does|did|is|are|was|were|has|have|had|ca|wo|could|would|should)n['’]t|(?:drop(?:s|ped)?|remov(?:es?|ed)|delet(?:es?|ed)|discontinu(?:es?|ed)|deprecat(?:es?|ed)|abandon(?:s|ed)?|end(?:s|ed)?) (?:(?:all|the|our|its|their|any|official|experimental|old|in-tree|built-in) )*(?:(?:support|bindings?|builds?|packages?) (?:for|of) (?:the )?)?)`;
/** "Not only", "does not block", and what is not needed deny nothing. */
const noDenial = String.raw`(?!\s*(?:only|just|merely|limited|to mention|block|prevent|limit|affect|requir|need|lock|break|slow|worry|matter)\w*\b)`;
/** A removal stands right before what it removes; a negation may have a few words between. */
const before = new RegExp(String.raw`(?:${negation})${noDenial}(?:\s+${inClause}*?)?\s*$`, "i");
const maxWordsBetween = 4;
const removed = /\b(?:drop|remov|delet|discontinu|deprecat|abandon|end)\w*\s/i;
const verb = String.raw`(?:is|are|was|were|be|been|being|has|have|had|will|can|could|does|do|did|should|isn['’]t|aren['’]t|wasn['’]t|weren['’]t|hasn['’]t|haven['’]t|can['’]t|cannot|doesn['’]t|don['’]t|won['’]t|would)`;
const gone = String.raw`(?:removed|dropped|deleted|discontinued|deprecated|abandoned|unsupported|unavailable|unmaintained|obsolete|gone|missing|impossible|broken|no longer)`;
/** What is said of it: the first verb after it denies. */
const after = new RegExp(
  String.raw`^(?:(?!\b${verb}\b|[.;:!?](?:\s|$)).)*?\b(?:(?:${verb}\s+){1,3}(?:(?:now|been|also|all|already|currently|officially|completely|entirely|temporarily)\s+){0,2}${gone}\b|(?:isn['’]t|aren['’]t|wasn['’]t|weren['’]t|can['’]t|cannot|doesn['’]t|don['’]t|won['’]t|(?:${verb}\s+)not|${verb}\s+never)\b(?!\s+(?:only|just|requir|need|necess)))`,
  "i",
);
/** "Go: unsupported", "Windows | no", "(deprecated)". */
const labelled = new RegExp(
  String.raw`^\s*(?:bindings?|support|builds?)?\s*[:|(–—-]+\s*(?:no\b(?!\s+\w)|none\b|not (?:yet )?(?:supported|available)|❌|✗|✘|${gone}\b)`,
  "i",
);
const needless = /^[^.;:!?,]{0,40}\b(?:required|needed|necessary)\b/i;

/** @param from where in the text stands what may be denied, @param to its end */
export function isDenied(text: string, from: number, to: number): boolean {
  const [left, right] = [text.slice(0, from), text.slice(to)];
  const clause = /[^.,;:!?()|]*$/.exec(left)?.[0] ?? "";
  const denial = before.exec(clause)?.[0].trim();
  if (denial !== undefined && !needless.test(right)) {
    const between = denial.replace(/^\S+/, "");
    const isElsewhere = removed.test(`${denial} `) && /\b(?:in|on|with|when|that|limits?|from)\b/i.test(between);
    if (!isElsewhere && between.split(/\s+/).filter(Boolean).length <= maxWordsBetween) return true;
  }
  return labelled.test(right) || after.test(right);
}
