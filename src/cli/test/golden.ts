/** A transcript against its golden file: the first divergence, shown with its surroundings. */

/** Where and how a transcript leaves its golden. */
export interface Divergence {
  /** First line, from 1, that differs; the same number in both. */
  readonly line: number;
  /** Numbered lines, those of the golden with `-`, those of the run with `+`. */
  readonly excerpt: readonly string[];
  readonly notes: readonly string[];
}

/** Lines shown around a divergence, and of each side at most. */
const CONTEXT = 3;
const SHOWN = 6;
/** How far behind the first difference both sides are searched for a line that is the same again. */
const RESYNC = 40;

/** The first place where `actual` differs from `golden`; undefined if they are equal. */
export function compare(golden: string, actual: string): Divergence | undefined {
  if (golden === actual) return undefined;
  if (golden.includes('\r') && golden.replaceAll('\r\n', '\n') === actual.replaceAll('\r\n', '\n')) {
    const line = golden.slice(0, golden.indexOf('\r')).split('\n').length;
    const notes = ['the golden has CRLF line ends, the transcript has not: let git keep it as it is (*.golden -text)'];
    return { line, excerpt: [], notes };
  }
  const version = Number(ENDING.exec(golden)?.[1] ?? VERSION);
  if (version !== VERSION) {
    const notes = [
      `the golden is of version ${version}, this gvm writes version ${VERSION}: use the gvm that wrote it`,
    ];
    return { line: golden.trimEnd().split('\n').length, excerpt: [], notes };
  }
  const wanted = golden.split('\n');
  const got = actual.split('\n');
  const first = wanted.findIndex((line, index) => line !== got[index]);
  const at = first < 0 ? wanted.length : first;
  const [minus, plus] = hunk(wanted, got, at);
  const shown = (mark: string, lines: readonly string[], from: number) => [
    ...lines.slice(0, SHOWN).map((line, index) => numbered(from + index, mark, visible(line))),
    ...(lines.length > SHOWN ? [numbered(undefined, mark, `… ${lines.length - SHOWN} lines more`)] : []),
  ];
  const after = got.slice(at + plus, at + plus + CONTEXT);
  if (after.at(-1) === '') after.pop();
  const start = Math.max(0, at - CONTEXT);
  const excerpt = [
    ...wanted.slice(start, at).map((line, index) => numbered(start + index, ' ', line)),
    ...shown('-', wanted.slice(at, at + minus), at),
    ...shown('+', got.slice(at, at + plus), at),
    ...after.map((line, index) => numbered(at + plus + index, ' ', line)),
  ];
  return { line: at + 1, excerpt, notes: truncated(golden) };
}

/** A line of a difference: in quotes, as a string of JSON, where part of it would not be seen. */
const visible = (line: string): string => (INVISIBLE.test(line) ? JSON.stringify(line) : line);
/** A blank at the end, or a control character. */
const INVISIBLE = /\s$|[^\P{Cc}\t]/u;

const numbered = (index: number | undefined, mark: string, line: string): string =>
  `${(index === undefined ? '' : String(index + 1)).padStart(5)} | ${mark} ${line}`.trimEnd();

/** The form of transcripts. When it changes, the last line begins to tell the number: `[gvm] exit status 0 (version 2)`. */
const VERSION = 1;
const ENDING = /(?:^|\n)\[gvm\] exit status \d+(?: \(version (\d+)\))?\n$/;

/** Every transcript ends with the exit status: a golden that does not was cut off. */
function truncated(golden: string): string[] {
  if (ENDING.test(golden)) return [];
  return ["the golden does not end with '[gvm] exit status N': it is truncated, or not a transcript of gvm"];
}

/** How many lines of each side differ from `at` on, until a line is the same again. */
function hunk(wanted: readonly string[], got: readonly string[], at: number): [number, number] {
  const most = Math.min(RESYNC, Math.max(wanted.length, got.length) - at);
  for (let distance = 1; distance <= 2 * most; distance++) {
    for (let minus = 0; minus <= distance; minus++) {
      const line = wanted[at + minus];
      if (line !== undefined && line !== '' && line === got[at + distance - minus]) return [minus, distance - minus];
    }
  }
  return [trimmed(wanted, at), trimmed(got, at)];
}

/** Lines from `at` to the end, without the empty one behind the last newline. */
const trimmed = (lines: readonly string[], at: number): number =>
  Math.max(0, lines.length - at - (lines.at(-1) === '' ? 1 : 0));
