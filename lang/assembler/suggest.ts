/** "Did you mean": the nearest known name. */

/** Known words longer than this are not compared: nobody mistypes them by one letter and needs help. */
const LONGEST = 64;

/** The candidate nearest to `word` by edits (insert, delete, change, swap neighbours), or undefined where none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  // Everything is near to a word of one or two letters.
  if (word.length < 3 || word.length > LONGEST) return undefined;
  const limit = word.length <= 3 ? 1 : word.length <= 6 ? 2 : 3;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance || candidate === word) continue;
    const distance = editDistance(word, candidate, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean …?` or nothing, to end a message with. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = nearest(word, candidates);
  return near === undefined ? '' : `; did you mean \`${near}\`?`;
}

/** Fingers swap letters more often than they hit a wrong one: among words as near as each other, that one is meant. */
const SWAP = 0.9;

/** Damerau–Levenshtein distance (optimal string alignment), cut off at `stop`. */
function editDistance(a: string, b: string, stop: number): number {
  let older: number[] = [];
  let leastBefore = 0;
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, older[j - 2]! + SWAP);
      current.push(cost);
      least = Math.min(least, cost);
    }
    // A swap reaches back over a row.
    if (least >= stop && leastBefore + SWAP >= stop) return stop;
    leastBefore = least;
    older = previous;
    previous = current;
  }
  return previous[b.length]!;
}
