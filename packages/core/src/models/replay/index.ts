export { createReplayProvider } from "./provider.ts";
export { readRecording } from "./read-recording.ts";
