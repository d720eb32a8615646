import { expect, test } from "vitest";
import { isDenied } from "./denial.ts";

const denied = (text: string, words: string) => {
  const from = text.indexOf(words);
  return isDenied(text, from, from + words.length);
};

test.each([
  ["**Go bindings have been removed from this fork.**", "Go bindings"],
  ["The in-tree Go binding sources (`bindings/go/`) and their CI were dropped: the path", "Go"],
  ["There is no Go client", "Go client"],
  ["It does not support concurrent writes.", "concurrent"],
  ["Not yet available for Go", "Go"],
  ["The index is not thread-safe", "thread-safe"],
  ["Dropped support for Windows", "Windows"],
  ["Removed the Go bindings", "Go bindings"],
  ["Go is no longer supported", "Go"],
  ["Go isn't supported", "Go"],
  ["Windows builds are currently unsupported", "Windows"],
  ["Go, Ruby and Perl bindings were dropped", "Go"],
  ["Go: not supported", "Go"],
  ["Windows | ❌", "Windows"],
  ["cannot be used from Go", "Go"],
  ["comes without Go bindings", "Go bindings"],
])("%j denies %j", (text, words) => expect(denied(text, words)).toBe(true));

test.each([
  ["Written in pure C, no dependencies, runs anywhere", "pure C"],
  ["Go users should install from elsewhere", "Go users"],
  ["It is not only concurrent but fast", "concurrent"],
  ["does not block concurrent reads", "concurrent"],
  ["No external server, a single binary", "single binary"],
  ["no Go toolchain is required", "Go"],
  ["Go bindings are stable. The Perl ones were removed.", "Go bindings"],
  ["Use the Go client without cgo", "Go client"],
  ["Removed a deadlock in concurrent searches", "concurrent"],
  ["Support for Go and Rust", "Go"],
])("%j does not deny %j", (text, words) => expect(denied(text, words)).toBe(false));
