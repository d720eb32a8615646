import { falseSuccess } from "./false-success.cases.ts";
import { honesty } from "./honest.cases.ts";
import { describeHouse } from "./support/describe-house.ts";

describeHouse("Chat Completions", [falseSuccess(false), honesty]);
