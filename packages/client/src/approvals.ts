/** What waits for a person's decision. */
import {
  approvalResourceSchema,
  listSchema,
  type ApprovalResource,
  type approvalStatuses,
  type DecisionRequest,
} from "@outerloop/core/domain";
import type { CallOptions } from "./goals.ts";
import type { Http } from "./http.ts";
import { eachItem, type Page } from "./pages.ts";

export interface ApprovalFilter {
  /** `open` unless said otherwise. */
  readonly status?: (typeof approvalStatuses)[number];
  /** An id of a goal, or a beginning of it that no other goal has. */
  readonly goal?: string;
  /** Items a page. */
  readonly limit?: number;
}

export interface Approvals {
  /** Newest first. */
  list(filter?: ApprovalFilter, options?: CallOptions): AsyncIterable<ApprovalResource>;
  page(
    filter?: ApprovalFilter & { readonly cursor?: string | undefined },
    options?: CallOptions,
  ): Promise<Page<ApprovalResource>>;
  get(id: string, options?: CallOptions): Promise<ApprovalResource>;
  /** Deciding the same twice is deciding once, so it repeats itself on a bad line. */
  decide(id: string, decision: DecisionRequest, options?: CallOptions): Promise<ApprovalResource>;
}

/** Times that a request is sent: with the waits between about 4 s. */
const tries = 5;

export function createApprovals(http: Http): Approvals {
  const at = (id: string) => `/v1/approvals/${encodeURIComponent(id)}`;
  const page: Approvals["page"] = (filter = {}, options = {}) =>
    http.json(listSchema(approvalResourceSchema), { path: "/v1/approvals", query: { ...filter }, tries, ...options });
  return {
    page,
    list: (filter = {}, options = {}) => eachItem((cursor) => page({ ...filter, cursor }, options)),
    get: (id, options = {}) => http.json(approvalResourceSchema, { path: at(id), tries, ...options }),
    decide: (id, decision, options = {}) =>
      http.json(approvalResourceSchema, { method: "POST", path: at(id), body: decision, tries, ...options }),
  };
}
