/** What is beyond rules that read and quote. Said at once and plainly, instead of pretending. */
import type { PlanState } from "./plan-state.ts";

/** What may stand before an order without changing it. */
const politeness = String.raw`(?:(?:hi|hello|hey)\b[,.! ]*|(?:please|kindly|now|then|so|and|ok|okay)\b,?\s+|(?:can|could|would|will) you\s+|i(?:'d| would)? (?:want|need|like) you to\s+|(?:help me|let'?s)\s+(?:to\s+)?)*`;
/** What follows a verb that is meant as an order: "run the tests", but not "run time" or "release dates". */
const object = String.raw`(?=\s+(?:me|us|it|them|him|her|this|that|these|those|the|an?|all|my|our|your|every|some|two|three|\d+)\b)`;
/** At the beginning of a goal these are orders, whatever follows. */
const orders =
  "send|e-?mail|tweet|buy|purchase|pay|remind|subscribe|sign up|log in|translate|invent|summari[sz]e|rewrite|rephrase|paraphrase|proofread|write(?! (?:timeouts?|access|ahead|buffers?|cache|concerns?|locks?|modes?|performance|permissions?|speed|throughput)\\b)|brainstorm|compose|generate|improve|optimi[sz]e|refactor|pretend|imagine|simulate|predict|analy[sz]e|recap|condense|simplify|elaborate|discuss|suggest|advise|criti(?:que|ci[sz]e)|evaluate|assess|infer|calculate|solve|prove";
/** These begin the names of things too, and are orders only with an object. */
const ordersWithObject =
  "post|publish|order|book|reserve|deploy|install|run|execute|call|phone|message|transfer|refund|delete|remove|rename|move|copy|upload|download|fetch|browse|open|visit|schedule|register|implement|fix|debug|build|compile|code|program|draw|sketch|paint|design|play|restart|start|stop|kill|turn|switch|push|merge|commit|release|draft|plan|prepare|make|create|add|update|change|edit|correct|convert|transform|format|reformat|clean|configure|set up|shorten|expand|review|test|train|reply|respond|estimate|sort|decide|choose|teach|interpret|sing|save|store|print";
const order = new RegExp(String.raw`^\s*${politeness}(?:(${orders})\b|(${ordersWithObject})${object})`, "i");
/** Telling what is there is finding; telling it in other words is not. */
const retelling =
  /\bin (?:your|my|his|her|their|our|other|simpler?|plain|easy|layman'?s|\w+ (?:own|simple)) (?:own )?(?:words|terms|language)\b|\blike i'?m (?:five|5)\b|\bto a (?:child|beginner|\w+-year-old)\b|\bin (?:simple|plain) english\b/i;
/** Texts that would have to be made up, asked for by their names. */
const madeText = new RegExp(
  String.raw`^\s*${politeness}(?:(?:give|tell|sing|show) (?:me|us) |i (?:want|need|would like) |make )?(?:an? |the |your )?(?:(?:short|brief|quick|long|funny|new|good|one-\w+|\w+-sentence) )*(summary|tl;?dr|poem|song|story|joke|essay|haiku|overview|synopsis|opinion|advice|paraphrase|translation|draft|blog post|press release|cover letter)(?:$|[.!?]|\s+(?:of|about|on|for|to|from)\b)`,
  "i",
);
/** Asking about an action is not asking for it; these also ask for what is said, and where. */
const isQuestion =
  /^\s*(?:how|what|which|when|where|why|who|whose|does|do|is|are|should|was|were|has|have|(?:can|could|would|will)(?! you\b))\b/i;

const help = "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or OPENAI_BASE_URL to let a language model try.";
const able =
  "The offline model finds the lines of attached documents that answer a question (which, what, where, when, how many, how do I …), compares by them, and quotes them";

/** Why the goal cannot be served; undefined where it can. */
export function whyUnsupported(state: PlanState): string | undefined {
  const action = orderIn(state.goal);
  if (action) return `${able}; it cannot ${action.toLowerCase()} anything. ${help}`;
  if (state.fileCount === 0)
    return `No documents are attached, and the offline model knows nothing by itself: it answers questions from documents. Attach a file or folder (--attach PATH). ${help}`;
  if (!state.tools.has("search_files"))
    return `The tool search_files is not offered, and without it the offline model finds nothing. ${help}`;
  return undefined;
}

/** The order that a goal gives; undefined for a question, and where a question stands in it. */
function orderIn(goal: string): string | undefined {
  if (retelling.test(goal)) return "retell";
  const sentences = goal
    .split(/(?<=[.!?])\s+|\n+|,?\s+and then\s+|,?\s+and (?=(?:summari[sz]e|translate|rewrite)\b)/i)
    .filter((each) => each.trim() !== "");
  if (sentences.some((each) => isQuestion.test(each))) return undefined;
  for (const sentence of sentences) {
    if (madeText.test(sentence)) return "make up or retell";
    const [, always, withObject] = order.exec(sentence) ?? [];
    const verb = always ?? withObject;
    if (verb !== undefined) return verb;
  }
  return undefined;
}
