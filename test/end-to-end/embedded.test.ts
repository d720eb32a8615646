import { goalCases } from "./goal.cases.ts";

goalCases("embedded", "OpenAI Responses");
