import { waitingCases } from "./waiting.cases.ts";

waitingCases("embedded");
