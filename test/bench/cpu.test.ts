import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { cpuMs } from "./cpu.ts";

const burntMs = 150;
/** Of its own CPU time, however busy the machine is. */
const burn = `while (process.cpuUsage().user < ${burntMs} * 1000);`;

test.runIf(process.platform === "linux")("CPU of a child counts while it lives and when it has ended", async () => {
  const parent = spawn(
    process.execPath,
    [
      "-e",
      `const { spawn } = require("node:child_process");
       const burner = () => spawn(process.execPath, ["-e", ${JSON.stringify(`${burn} process.stdout.write("burnt"); process.stdin.resume();`)}], { stdio: ["pipe", "pipe", "inherit"] });
       const [ends, stays] = [burner(), burner()];
       Promise.all([ends, stays].map((child) => new Promise((resolve) => child.stdout.once("data", resolve)))).then(() => {
         ends.once("exit", () => process.stdout.write("ready"));
         ends.stdin.end();
       });
       process.stdin.on("end", () => { stays.kill(); process.exit(); }).resume();`,
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  try {
    await once(parent.stdout, "data");
    // A tick of the kernel's count is 10 ms.
    expect(cpuMs(parent.pid!)).toBeGreaterThan(2 * burntMs - 40);
  } finally {
    const ended = once(parent, "exit");
    parent.stdin.end();
    await ended;
  }
  expect(() => cpuMs(parent.pid!)).toThrow("has ended");
});
