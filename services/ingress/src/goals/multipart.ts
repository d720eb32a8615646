/** `multipart/form-data` for goals: one field `goal` with the JSON, any number of `files` whose names are their paths. */
import { parseJson, readBytes } from "../http/body.ts";
import { invalid, Refusal } from "../http/problem.ts";

/** @returns what the JSON body would have been */
export async function readMultipartGoal(request: Request, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  const form = await new Response(bytes, { headers: { "content-type": request.headers.get("content-type") ?? "" } })
    .formData()
    .catch(() => {
      throw new Refusal("invalid_input", "The body is not valid multipart/form-data.", {
        fields: [{ field: "body", message: "is not valid multipart/form-data" }],
      });
    });

  for (const name of form.keys())
    if (name !== "goal" && name !== "files")
      throw invalid(name.slice(0, 100), "is not a known field; a form has `goal` and `files`");
  const [goal, ...more] = form.getAll("goal");
  if (goal === undefined) throw invalid("goal", "is required: the goal as JSON");
  if (more.length > 0) throw invalid("goal", "may be given once");
  const value = parseJson(
    typeof goal === "string" ? new TextEncoder().encode(goal) : new Uint8Array(await goal.arrayBuffer()),
    "goal",
  );

  const files = [];
  for (const [index, file] of form.getAll("files").entries()) {
    if (typeof file === "string") throw invalid(`files[${index}]`, "must be a file with a name");
    files.push({ path: file.name, base64: Buffer.from(await file.arrayBuffer()).toString("base64") });
  }
  if (files.length === 0 || value === null || typeof value !== "object" || Array.isArray(value)) return value;
  if (!("attachments" in value)) return { ...value, attachments: files };
  return Array.isArray(value.attachments) ? { ...value, attachments: [...value.attachments, ...files] } : value;
}
