import { brokenAnswers } from "./broken-answers.cases.ts";
import { falseSuccess } from "./false-success.cases.ts";
import { loops } from "./loops.cases.ts";
import { describeHouse } from "./support/describe-house.ts";
import { sized } from "./support/size.ts";

describeHouse("Messages", sized([loops, brokenAnswers], [falseSuccess(false), loops, brokenAnswers]));
