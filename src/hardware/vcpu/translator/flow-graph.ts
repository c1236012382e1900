/**
 * The order in which a region's blocks nest as WebAssembly's structured code: dominators and loop headers, after N. Ramsey,
 * "Beyond Relooper" (2022). An edge that enters a loop other than by its header is cut: the guest leaves the region there.
 */

/** The graph of blocks 0 … n − 1 with block 0 as entry. */
export class FlowGraph {
  /** Reverse postorder number of each block; -1 where the entry does not lead. */
  readonly order: readonly number[];
  /** Blocks that each one immediately dominates, in reverse postorder. */
  readonly children: readonly (readonly number[])[];
  readonly #successors: readonly (readonly number[])[];
  readonly #edges: Set<number>[];
  readonly #dominators: number[];
  readonly #size: number;

  constructor(successors: readonly (readonly number[])[]) {
    this.#size = successors.length;
    this.#successors = successors;
    this.#edges = successors.map((each) => new Set(each));
    let order: number[];
    let sorted: number[];
    do {
      sorted = this.#reversePostorder();
      order = new Array(this.#size).fill(-1);
      sorted.forEach((block, index) => {
        order[block] = index;
      });
      this.#dominators = this.#findDominators(sorted, order);
    } while (this.#cutIrreducible(sorted, order));
    this.order = order;
    const children: number[][] = successors.map(() => []);
    for (const block of sorted.slice(1)) children[this.#dominators[block]!]!.push(block);
    this.children = children;
  }

  /** Whether the edge is one of the graph, and was not cut. */
  hasEdge(from: number, to: number): boolean {
    return this.#edges[from]!.has(to);
  }

  isBackEdge(from: number, to: number): boolean {
    return this.order[to]! <= this.order[from]!;
  }

  /** Blocks that an edge leads back to. */
  isLoopHeader(block: number): boolean {
    return this.#sources(block).some((from) => this.isBackEdge(from, block));
  }

  /** Blocks that more than one edge leads forward to: of a branch to the next instruction, both. */
  isMerge(block: number): boolean {
    let edges = 0;
    for (const from of this.#sources(block))
      if (!this.isBackEdge(from, block)) edges += this.#successors[from]!.filter((to) => to === block).length;
    return edges > 1;
  }

  #sources(block: number): number[] {
    const sources: number[] = [];
    this.#edges.forEach((edges, from) => {
      if (this.order[from]! >= 0 && edges.has(block)) sources.push(from);
    });
    return sources;
  }

  #reversePostorder(): number[] {
    const seen = new Set([0]);
    const postorder: number[] = [];
    const stack = [{ block: 0, rest: [...this.#edges[0]!] }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        postorder.push(top.block);
        stack.pop();
      } else if (!seen.has(next)) {
        seen.add(next);
        stack.push({ block: next, rest: [...this.#edges[next]!] });
      }
    }
    return postorder.reverse();
  }

  /** Cooper, Harvey and Kennedy's iteration. */
  #findDominators(sorted: readonly number[], order: readonly number[]): number[] {
    const dominators: number[] = new Array(this.#size).fill(-1);
    dominators[0] = 0;
    const sources: number[][] = Array.from({ length: this.#size }, () => []);
    for (const from of sorted) for (const to of this.#edges[from]!) sources[to]!.push(from);
    for (let changed = true; changed; ) {
      changed = false;
      for (const block of sorted.slice(1)) {
        let dominator = -1;
        for (const from of sources[block]!) {
          if (dominators[from] === -1) continue;
          dominator = dominator === -1 ? from : this.#meet(dominators, order, from, dominator);
        }
        if (dominators[block] !== dominator) {
          dominators[block] = dominator;
          changed = true;
        }
      }
    }
    return dominators;
  }

  #meet(dominators: readonly number[], order: readonly number[], a: number, b: number): number {
    let x = a;
    let y = b;
    while (x !== y) {
      while (order[x]! > order[y]!) x = dominators[x]!;
      while (order[y]! > order[x]!) y = dominators[y]!;
    }
    return x;
  }

  #dominates(dominator: number, block: number): boolean {
    let at = block;
    while (at !== dominator && at !== 0) at = this.#dominators[at]!;
    return at === dominator;
  }

  #cutIrreducible(sorted: readonly number[], order: readonly number[]): boolean {
    let cut = false;
    for (const from of sorted)
      for (const to of this.#edges[from]!)
        if (order[to]! <= order[from]! && !this.#dominates(to, from)) {
          this.#edges[from]!.delete(to);
          cut = true;
        }
    return cut;
  }
}
