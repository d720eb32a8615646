/** What providers serve beside answers: embeddings, transcriptions, the list of models. One suite, by what each can. */
import { describe, expect, test } from "vitest";
import { abilitiesOf, failure, mocked, quiet, scripted, targets } from "../testing/targets.ts";

describe.each(targets.filter(({ speaks }) => speaks))("$title", (target) => {
  const { provider: offered, capabilities } = abilitiesOf(target);

  describe.skipIf(!capabilities.embeddings)("embeddings", () => {
    test("texts become vectors in their order, in requests of 128, with the tokens of all", async () => {
      const { provider } = await scripted(target, () => "hang", {}, { dimensions: 3 });
      const texts = Array.from({ length: 300 }, (_, at) => "x".repeat(at % 50));
      const { vectors, inputTokens } = await provider.embed!("embedder", { texts, dimensions: 3 }, quiet().signal);
      // An empty text is sent as a space.
      expect(vectors).toEqual(texts.map((text) => Array(3).fill(text.length || 1)));
      expect(inputTokens).toBe(texts.reduce((sum, text) => sum + Math.ceil((text.length || 1) / 4), 0));
    });

    test("vectors of another length are config, and the error says what came", async () => {
      const { provider } = await scripted(target, () => "hang", {}, { dimensions: 3 });
      const error = await failure(provider.embed!("embedder", { texts: ["a"], dimensions: 4 }, quiet().signal));
      expect(error).toMatchObject({ code: "config", retry: "never" });
      expect(error.message).toMatch(/1 vectors of 3 dimensions for 1 texts, expected 4/);
    });

    test("what fails is read as for answers", async () => {
      const sideError = { status: 429, message: "slow down", headers: { "retry-after": "2" } };
      const { provider } = await scripted(target, () => "hang", {}, { sideError });
      const call = provider.embed!("embedder", { texts: ["a"], dimensions: 4 }, quiet().signal);
      expect(await failure(call)).toMatchObject({ code: "rate_limited", retry: { afterMs: 2000 } });
    });
  });

  describe.skipIf(!capabilities.transcription)("transcription", () => {
    const audio = new Uint8Array(2500);

    test("audio goes out under a name of its type, and tokens or seconds are told", async () => {
      const { provider } = await scripted(target, () => "hang");
      const asked = { audio, mediaType: "audio/webm;codecs=opus", language: "de" };
      expect(await provider.transcribe!("ears", asked, quiet().signal)).toEqual({
        text: "ears audio.webm audio/webm 2500 de",
        seconds: null,
        inputTokens: 25,
        outputTokens: 5,
      });
      const timed = await scripted(target, () => "hang", {}, { billedBy: "duration" });
      expect(
        await timed.provider.transcribe!("ears", { audio, mediaType: "audio/mpeg" }, quiet().signal),
      ).toMatchObject({ text: "ears audio.mp3 audio/mpeg 2500 any", seconds: 2.5, inputTokens: 0 });
    });

    test("audio over 25 MB, or of an unknown type, is not sent", async () => {
      const { provider } = await scripted(target, () => "hang", {}, { sideError: { status: 418, message: "sent" } });
      const large = new Uint8Array(25 * 1024 * 1024 + 1);
      const transcribe = (sent: Uint8Array, mediaType: string) =>
        failure(provider.transcribe!("ears", { audio: sent, mediaType }, quiet().signal));
      expect(await transcribe(large, "audio/mpeg")).toMatchObject({ code: "too_large", retry: "never" });
      expect(await transcribe(audio, "audio/midi")).toMatchObject({ code: "unsupported", retry: "never" });
    });
  });

  test.skipIf(!offered.listModels)("it lists what its server serves", async () => {
    const { provider } = await scripted(target, () => "hang", {}, { models: ["first", "second"] });
    expect(await provider.listModels!(quiet().signal)).toEqual(["first", "second"]);
  });

  describe("against aimock", () => {
    test.skipIf(!capabilities.embeddings)("embeddings", async () => {
      const provider = await mocked(target, (mock) => mock.onEmbedding("a text", { embedding: [0.5, 0.25] }));
      const answer = await provider.embed!("embedder", { texts: ["a text"], dimensions: 2 }, quiet().signal);
      expect(answer.vectors).toEqual([[0.5, 0.25]]);
    });

    test.skipIf(!capabilities.transcription)("transcription", async () => {
      const provider = await mocked(target, (mock) => mock.onTranscription({ transcription: { text: "Said." } }));
      const asked = { audio: new Uint8Array(10), mediaType: "audio/wav" };
      expect(await provider.transcribe!("whisper-1", asked, quiet().signal)).toMatchObject({ text: "Said." });
    });
  });
});
