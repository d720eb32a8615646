import { openDatabase } from "@outerloop/core";
import { doorCases } from "./door.cases.ts";

doorCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
