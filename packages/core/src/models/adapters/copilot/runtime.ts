/**
 * The runtime that GitHub Copilot's SDK starts: one process for each provider, started by the first call. It is an agent
 * of its own, so what makes it one is taken away: no tools, no instructions, no memory, no retries.
 *
 * 1. A session makes one request of a model. The runtime would repeat a failed one and go on from a cut-off one by itself,
 *    which nobody would count; the second is refused here.
 * 2. The process is given a home of its own and nothing of our environment.
 */
import type { CopilotClient, CopilotRequestContext } from "@github/copilot-sdk";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OuterloopError } from "../../../domain/errors.ts";
import type { Connection } from "../shared/connection.ts";
import { readRetryAfter, type Fault } from "../shared/provider-error.ts";

/** Type only: the package is an optional peer, loaded by the first call. */
export type CopilotSdk = typeof import("@github/copilot-sdk");

export interface Runtime {
  readonly client: CopilotClient;
  /** Watches the request of a session that is about to be created under this id. */
  watch(sessionId: string): Watch;
  close(): Promise<void>;
}

export interface Watch {
  /** What the server answered instead of an answer; pending for ever where it did not. */
  readonly failed: Promise<Fault>;
  end(): void;
}

/** Throws `config` where the package is not installed. */
export async function loadCopilotSdk(load = () => import("@github/copilot-sdk")): Promise<CopilotSdk> {
  try {
    return await load();
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw thrown;
    throw new OuterloopError(
      "config",
      "copilot: the package @github/copilot-sdk is not installed, since its runtime takes 130 MB; run `npx pnpm@12 install` without --prod, or `npx pnpm@12 add --filter @outerloop/core @github/copilot-sdk`",
    );
  }
}

export async function startRuntime(sdk: CopilotSdk, connection: Connection): Promise<Runtime> {
  const watches = new Map<string, RequestWatch>();
  const send = connection.fetch ?? fetch;

  class OneRequest extends sdk.CopilotRequestHandler {
    protected override sendRequest(
      request: Request,
      { sessionId = "", signal }: CopilotRequestContext,
    ): Promise<Response> {
      const watch = isModelCall(request) ? watches.get(sessionId) : undefined;
      const sent = () => send(request, { signal });
      return watch ? watch.send(sent) : sent();
    }
  }

  const home = await mkdtemp(join(tmpdir(), "outerloop-copilot-"));
  const client = new sdk.CopilotClient({
    mode: "empty",
    baseDirectory: home,
    workingDirectory: home,
    env: { HOME: home },
    logLevel: "none",
    useLoggedInUser: false,
    requestHandler: new OneRequest(),
    // With a server of one's own the token is that server's key, and nothing of GitHub's.
    ...(connection.apiKey && !connection.baseURL && { gitHubToken: connection.apiKey }),
  });
  const close = async () => {
    // Not gracefully, which takes seconds: it has nothing to keep.
    await client.forceStop();
    await rm(home, { recursive: true, force: true });
  };
  try {
    await client.start();
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return {
    client,
    watch(sessionId) {
      const watch = new RequestWatch();
      watches.set(sessionId, watch);
      return { failed: watch.failed, end: () => void watches.delete(sessionId) };
    },
    close,
  };
}

/** Lists of models and the like may be asked for as often as the runtime likes. */
function isModelCall({ method, url }: Request): boolean {
  return method === "POST" && /\/(chat\/completions|responses|messages)$/.test(URL.parse(url)?.pathname ?? "");
}

/** Long enough for an error's envelope. */
const longestErrorBytes = 20_000;

class RequestWatch {
  readonly #fault = Promise.withResolvers<Fault>();
  readonly failed = this.#fault.promise;
  #isSent = false;

  async send(request: () => Promise<Response>): Promise<Response> {
    if (this.#isSent) throw new Error("a session makes one request");
    this.#isSent = true;
    const response = await request();
    if (response.ok) return response;
    const body = (await response.text()).slice(0, longestErrorBytes);
    const { error } = readEnvelope(body);
    this.#fault.resolve({
      status: response.status,
      kind: [error?.code, error?.type].filter((part) => typeof part === "string").join(" "),
      message: typeof error?.message === "string" ? error.message : body,
      retryAfterMs: readRetryAfter(response.headers),
    });
    return new Response(body, { status: response.status, headers: response.headers });
  }
}

interface Envelope {
  readonly error?: { readonly code?: unknown; readonly type?: unknown; readonly message?: unknown } | undefined;
}

function readEnvelope(body: string): Envelope {
  try {
    return (JSON.parse(body) as Envelope | null) ?? {};
  } catch {
    return {};
  }
}
