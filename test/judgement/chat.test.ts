import { falseSuccess } from "./false-success.cases.ts";
import { honesty } from "./honest.cases.ts";
import { describeHouse } from "./support/describe-house.ts";
import { sized } from "./support/size.ts";

describeHouse("Chat Completions", sized([honesty], [falseSuccess(false), honesty]));
