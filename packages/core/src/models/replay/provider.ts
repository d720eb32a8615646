/**
 * A provider that answers from a recording, never from a network.
 *
 * 1. A request is answered by the call that asked exactly the same; where several did, in recorded order, and then by the last again.
 * 2. Else by those that asked the same but for what differs from run to run (`compare.ts`), likewise.
 * 3. Else by the call of the same subject that was not used yet and whose request differs least: parallel tasks end in another order,
 *    and a result of a tool may name a time.
 * 4. Else it throws `config`: a recording answers no other goal. What was asked about another task or goal is never taken.
 */
import { OuterloopError } from "../../domain/errors.ts";
import { canonicalJson } from "../../domain/json.ts";
import type { ModelRequest } from "../../domain/model.ts";
import type { RecordedCall, Recording } from "../../domain/recording.ts";
import { sha256 } from "../../store/ids.ts";
import type { Provider } from "../provider.ts";
import { distance, firstDifference, normalRequest, subjectOf } from "./compare.ts";

/** Keeps what was used for as long as it lives: one provider for one run of the goal. */
export function createReplayProvider(recording: Recording): Provider {
  const used = new Set<RecordedCall>();
  const exact = Map.groupBy(recording.calls, (call) => call.request_hash);
  const normal = Map.groupBy(recording.calls, (call) => sha256(normalRequest(call.request)));
  const subjects = Map.groupBy(recording.calls, (call) => subjectOf(call.request));

  function find(request: ModelRequest): RecordedCall | undefined {
    const same = exact.get(sha256(canonicalJson(request))) ?? normal.get(sha256(normalRequest(request)));
    if (same !== undefined) return same.find((call) => !used.has(call)) ?? same.at(-1);
    return nearest(subjects.get(subjectOf(request))?.filter((call) => !used.has(call)) ?? [], request);
  }

  return {
    name: "replay",
    capabilities: () => ({ tools: true, structured: "native", embeddings: false, transcription: false }),
    async generate(_model, request, { signal, onText, onToken }) {
      if (signal.aborted)
        throw new OuterloopError("cancelled", "the replayed call was stopped", { cause: signal.reason });
      const call = find(request);
      if (call === undefined) throw noSuchCall(recording, request);
      used.add(call);
      const { message, stop, usage, model } = call.response;
      onToken?.();
      if (message.text !== "") onText?.(message.text);
      return { message, stop, usage, model };
    },
  };
}

/** The first of those that differ least. */
function nearest(calls: readonly RecordedCall[], request: ModelRequest): RecordedCall | undefined {
  const [first, ...others] = calls.map((call) => ({ call, far: distance(call.request, request) }));
  return others.reduce((best, each) => (best !== undefined && each.far >= best.far ? best : each), first)?.call;
}

function noSuchCall({ goal, calls }: Recording, request: ModelRequest): OuterloopError {
  const ofStage = calls.filter((call) => call.stage === request.stage);
  const like = nearest(ofStage, request);
  const difference = like === undefined ? null : firstDifference(like.request, request);
  return new OuterloopError(
    "config",
    [
      `replay: the recording of goal ${goal.id} has no answer to this request of the stage ${request.stage}.`,
      like === undefined
        ? "It has no call of that stage."
        : `The most similar one (${like.task ?? "planner"}, attempt ${like.attempt}, step ${like.seq}) differs first here:\n${difference ?? "nowhere: it was used already"}`,
      "Post the recorded goal with its files, or record it again.",
    ].join("\n"),
  );
}
