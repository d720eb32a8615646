import { deltaCases } from "./deltas.cases.ts";

deltaCases("embedded");
