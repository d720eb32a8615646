import { openDatabase } from "@outerloop/core";
import { embeddingCases } from "./embeddings.cases.ts";

embeddingCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
