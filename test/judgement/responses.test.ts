import { falseSuccess } from "./false-success.cases.ts";
import { describeHouse } from "./support/describe-house.ts";

describeHouse("Responses", [falseSuccess(true)]);
