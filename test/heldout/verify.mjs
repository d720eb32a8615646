// Checks the held-out set: every quote stands on its line, every "wrong" question's subject is absent from its folder, sizes are in bounds.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const root = join(here, "corpora");
const { questions, wrong } = JSON.parse(readFileSync(join(here, "questions.json"), "utf8"));
const files = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name));

// What would have to stand in the folder for the wrong question to be answerable there.
const subjects = {
  "01-chrony": /birth ?stone|\bopal\b/i,
  "02-taskwarrior": /\bpng\b|compression/i,
  "03-nethack": /libevent|tmux/i,
  "04-debian-faq": /\biowa\b|electricity|renewables/i,
  "05-memcached": /toy story|pixar/i,
  "06-tmux": /airport|ralph wien/i,
  "07-miscfiles": /attributes|allowedTags|\btags\b/i,
  "08-vega-data": /shopkeeper|\bshops?\b/i,
  "09-fastify": /president|eligible|thirty/i,
  "10-sanitize-html": /chrony|\bmemory\b|log of client/i,
  "11-stb": /apt-mark|\bapt\b|on hold/i,
  "12-schedule": /nethack|web ?site/i,
};

const problems = [];
const folders = readdirSync(root).sort();
let total = 0;
for (const folder of folders) {
  const list = files(join(root, folder));
  const bytes = list.reduce((sum, f) => sum + statSync(f).size, 0);
  total += bytes;
  if (list.length > 40 || bytes > 400_000) problems.push(`${folder}: ${list.length} files, ${bytes} bytes`);
  if (questions.filter((q) => q.folder === folder).length !== 2) problems.push(`${folder}: not 2 questions`);
  const off = wrong.filter((q) => q.folder === folder);
  if (off.length !== 1) problems.push(`${folder}: not 1 wrong question`);
  const home = questions.find((q) => q.question === off[0]?.question);
  if (!home || home.folder === folder) problems.push(`${folder}: wrong question has no other home`);
  for (const f of list) {
    const text = readFileSync(f, "utf8");
    const hit = subjects[folder].exec(text);
    if (hit) problems.push(`${f}: holds "${hit[0]}"`);
    for (const a of home?.answers ?? []) if (text.includes(a.quote)) problems.push(`${f}: holds "${a.quote}"`);
  }
}
if (total > 2_500_000) problems.push(`${total} bytes in all`);
for (const { folder, question, answers } of questions)
  for (const { path, line, quote } of answers) {
    const at = readFileSync(join(root, folder, path), "utf8").split("\n")[line - 1] ?? "";
    if (!at.includes(quote)) problems.push(`${folder}/${path}:${line} lacks "${quote}" (${question})`);
  }
for (const p of problems) console.error(p);
console.log(
  `${folders.length} folders, ${total} bytes, ${questions.length} questions, ${wrong.length} wrong, ${problems.length} problems`,
);
process.exitCode = problems.length > 0 ? 1 : 0;
