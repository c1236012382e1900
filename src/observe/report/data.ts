/** What a report's page carries: the agreement between the writer and the page's own code. */

/** Changes when a page could not show the data of the version before. */
export const REPORT_VERSION = 1;

/** Times in nanoseconds of the host's clock: when the step ended, and how long it took. */
export type EventRow = [kind: number, access: number, end: number, cost: number, text: string];
export type KindRow = [title: string, layer: string, doc: string];
/** `file` counts in the table of files, -1 if there is none; the places are the instruction's own, then its callers'. */
export type PlaceRow = [symbol: string, file: number, line: number];
/** `walk` counts in the table of walks, -1 if the access left for no address. */
export type AccessRow = [
  number: number,
  rip: string,
  instruction: string,
  reason: string,
  places: PlaceRow[],
  walk: number,
];

export interface ReportData {
  readonly version: number;
  readonly program: string;
  readonly events: readonly EventRow[];
  readonly kinds: readonly KindRow[];
  readonly accesses: readonly AccessRow[];
  readonly files: readonly { readonly name: string; readonly lines: readonly string[] | null }[];
  readonly walks: readonly (readonly string[])[];
}
