import { openDatabase } from "@outerloop/core";
import { budgetCases } from "./budget.cases.ts";
import { doorBatchCases } from "./door-batches.cases.ts";
import { doorCases } from "./door.cases.ts";
import { modelControlCases } from "./model-control.cases.ts";
import { questionCases } from "./question.cases.ts";

doorCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
budgetCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
doorBatchCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
questionCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
modelControlCases("the embedded database", () => openDatabase({ kind: "embedded", folder: null }));
