import { brokenAnswers } from "./broken-answers.cases.ts";
import { falseSuccess } from "./false-success.cases.ts";
import { loops } from "./loops.cases.ts";
import { describeHouse } from "./support/describe-house.ts";

describeHouse("Messages", [falseSuccess(false), loops, brokenAnswers]);
