// node infra/image/health.mjs [PATH]: whether this container's service answers with 200 there; /healthz unless said.
//
// On its probe port. Everything in one process has none: there it is asked where the API is.
const path = process.argv[2] ?? "/healthz";
const ports = [process.env.OUTERLOOP_PROBE_PORT, process.env.PORT || "4000"].filter(Boolean);

process.exitCode = (await isHealthy(ports)) ? 0 : 1;

async function isHealthy([port, ...others]) {
  try {
    // Below the time-outs of the image and of compose.yaml, which would tell nothing.
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
    process.stdout.write(`${port}${path}: ${response.status} ${await response.text()}\n`);
    return response.ok;
  } catch (error) {
    // Only what does not listen is asked elsewhere: one that listens and is silent is ill.
    if (error.cause?.code === "ECONNREFUSED" && others.length > 0) return isHealthy(others);
    process.stdout.write(`${port}${path}: ${error.cause?.message ?? error.message}\n`);
    return false;
  }
}
