/** Checks every citation of a goal's answer and of the text files that it wrote against the workspace. */
import { citationHolds, findCitations, type Citation, type GoalId, type GoalRow, type Store } from "@outerloop/core";

export interface GoalCitations {
  readonly total: number;
  readonly holding: number;
  readonly broken: readonly (Citation & { readonly inAnswer: boolean })[];
}

/** Files larger than this are not reports. */
const maxReportBytes = 2_000_000;

export async function checkGoalCitations(
  store: Pick<Store, "listArtifacts" | "readArtifact">,
  goal: Pick<GoalRow, "id" | "file_seq" | "live_tasks">,
  answer: string,
): Promise<GoalCitations> {
  const goalId = goal.id as GoalId;
  const mayHaveFiles = goal.file_seq > 0 || goal.live_tasks > 0;
  const files = mayHaveFiles ? await store.listArtifacts(goalId) : [];
  const decoder = new TextDecoder();
  const texts = new Map<string, readonly string[] | undefined>();
  const linesOf = async (path: string) => {
    if (!texts.has(path)) {
      const bytes = await store.readArtifact(goalId, path);
      texts.set(path, bytes === undefined ? undefined : decoder.decode(bytes).split(/\r?\n/));
    }
    return texts.get(path);
  };

  const found = new Map<string, Citation & { readonly inAnswer: boolean }>();
  for (const citation of findCitations(answer)) found.set(keyOf(citation), { ...citation, inAnswer: true });
  for (const file of files) {
    if (file.origin !== "written" || file.size > maxReportBytes) continue;
    for (const citation of findCitations((await linesOf(file.path))?.join("\n") ?? "")) {
      if (!found.has(keyOf(citation))) found.set(keyOf(citation), { ...citation, inAnswer: false });
    }
  }

  const broken = [];
  for (const citation of found.values())
    if (!citationHolds(citation, await linesOf(citation.path))) broken.push(citation);
  return { total: found.size, holding: found.size - broken.length, broken };
}

const keyOf = (citation: Citation) => `${citation.path}:${citation.line} ${citation.quote}`;
