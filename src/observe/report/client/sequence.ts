/** The sequence diagram: a list of which only the rows in sight exist, each with its piece of the lanes. */

import { byId, element } from './dom.ts';
import { duration, headline, isHeadline, LANES, moment, type Row, type Trace } from './model.ts';

const ROW_HEIGHT = 24;
/** Rows made above and below what is in sight. */
const MARGIN = 12;
const MIDDLE = ROW_HEIGHT / 2;
/** Where a row is to stand that is brought into sight. */
type Where = 'near' | 'top' | 'middle';

export class Sequence {
  readonly #trace: Trace;
  readonly #chosen: (row: Row) => void;
  readonly #fold: (access: number) => void;
  readonly #folded: (access: number) => boolean;
  readonly #list = byId('rows');
  readonly #space = byId('space');
  readonly #made = new Map<number, HTMLElement>();
  #rows: Int32Array = new Int32Array(0);
  #selected = -1;
  #laneWidth = 0;
  #drawing = 0;

  /** `chosen` is told of the row that the reader goes to, `fold` of an access to fold or unfold. */
  constructor(
    trace: Trace,
    events: {
      readonly chosen: (row: Row) => void;
      readonly fold: (access: number) => void;
      readonly folded: (access: number) => boolean;
    },
  ) {
    this.#trace = trace;
    this.#chosen = events.chosen;
    this.#fold = events.fold;
    this.#folded = events.folded;
    this.#list.addEventListener('scroll', () => this.#soon(), { passive: true });
    this.#space.addEventListener('click', (event) => this.#clicked(event));
    new ResizeObserver(() => this.#resized()).observe(this.#list);
  }

  get count(): number {
    return this.#rows.length;
  }

  /** The row that is selected, undefined if none is. */
  get row(): Row | undefined {
    return this.#rows[this.#selected];
  }

  get position(): number {
    return this.#selected;
  }

  /** First and last row in sight. */
  get sight(): readonly [first: number, last: number] {
    const first = Math.floor(this.#list.scrollTop / ROW_HEIGHT);
    const last = Math.ceil((this.#list.scrollTop + this.#list.clientHeight) / ROW_HEIGHT) - 1;
    return [Math.min(first, Math.max(0, this.count - 1)), Math.min(last, this.count - 1)];
  }

  /** Rows that fit. */
  get page(): number {
    return Math.max(1, Math.floor(this.#list.clientHeight / ROW_HEIGHT) - 1);
  }

  at(position: number): Row | undefined {
    return this.#rows[position];
  }

  /** Show `rows`, keeping the selected row, or the one after where it was, in its place. */
  show(rows: Int32Array): void {
    const before = this.row;
    this.#rows = rows;
    if (rows.length === 0) this.#list.removeAttribute('aria-activedescendant');
    this.#space.style.height = `${Math.max(rows.length * ROW_HEIGHT, 1)}px`;
    this.#forget();
    if (before !== undefined) this.select(this.#nearest(before));
    this.#draw();
  }

  /** The position of the row, or of the next one that is there; a headline stands before its events. */
  #nearest(row: Row): number {
    const place = (each: Row) => (isHeadline(each) ? this.#trace.accesses[~each]!.first - 0.5 : each);
    const wanted = place(row);
    let low = 0;
    let high = this.#rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (place(this.#rows[middle]!) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Go to the event with this index, or to what is left near it. */
  goToEvent(index: number): void {
    this.select(this.#nearest(index), 'middle');
  }

  /** Go to the headline of an access, near the top. */
  goToAccess(access: number): void {
    this.select(this.#nearest(headline(access)), 'top');
  }

  /** Select the row at `position` and bring it into sight. */
  select(position: number, where: Where = 'near'): void {
    if (this.count === 0) return;
    const bounded = Math.min(Math.max(position, 0), this.count - 1);
    const before = this.#made.get(this.#selected);
    before?.setAttribute('aria-selected', 'false');
    this.#selected = bounded;
    this.#reveal(bounded, where);
    this.#draw();
    this.#made.get(bounded)?.setAttribute('aria-selected', 'true');
    this.#list.setAttribute('aria-activedescendant', `row-${bounded}`);
    this.#chosen(this.#rows[bounded]!);
  }

  #reveal(position: number, where: Where): void {
    const top = position * ROW_HEIGHT;
    const { scrollTop, clientHeight } = this.#list;
    if (where === 'top') this.#list.scrollTop = top - 2 * ROW_HEIGHT;
    else if (where === 'middle') this.#list.scrollTop = top - clientHeight / 2 + MIDDLE;
    else if (top < scrollTop) this.#list.scrollTop = top;
    else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.#list.scrollTop = top + ROW_HEIGHT - clientHeight;
  }

  #clicked(event: MouseEvent): void {
    const row = (event.target as Element).closest<HTMLElement>('[data-at]');
    if (row === null) return;
    const position = Number(row.dataset['at']);
    const at = this.#rows[position]!;
    if (isHeadline(at) && (event.target as Element).closest('.fold') !== null) this.#fold(~at);
    else this.select(position);
    this.#list.focus();
  }

  #resized(): void {
    const width = Number.parseFloat(getComputedStyle(this.#list).getPropertyValue('--lane'));
    if (width !== this.#laneWidth) {
      this.#laneWidth = width;
      this.#forget();
    }
    this.#draw();
  }

  #forget(): void {
    for (const row of this.#made.values()) row.remove();
    this.#made.clear();
  }

  #soon(): void {
    if (this.#drawing !== 0) return;
    this.#drawing = requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#draw();
    });
  }

  #draw(): void {
    if (this.#laneWidth === 0) return;
    const [first, last] = this.sight;
    const from = Math.max(0, first - MARGIN);
    const to = Math.min(this.count - 1, last + MARGIN);
    for (const [position, row] of this.#made) {
      if (position >= from && position <= to) continue;
      row.remove();
      this.#made.delete(position);
    }
    const fresh = document.createDocumentFragment();
    for (let position = from; position <= to; position++) {
      if (this.#made.has(position)) continue;
      const row = this.#make(position);
      this.#made.set(position, row);
      fresh.append(row);
    }
    this.#space.append(fresh);
    this.#list.dispatchEvent(new CustomEvent('sight'));
  }

  #make(position: number): HTMLElement {
    const at = this.#rows[position]!;
    const row = isHeadline(at) ? this.#headline(~at) : this.#event(position, at);
    row.id = `row-${position}`;
    row.dataset['at'] = String(position);
    row.setAttribute('role', 'option');
    row.setAttribute('aria-selected', String(position === this.#selected));
    row.setAttribute('aria-posinset', String(position + 1));
    row.setAttribute('aria-setsize', String(this.count));
    row.style.transform = `translateY(${position * ROW_HEIGHT}px)`;
    return row;
  }

  #headline(number: number): HTMLElement {
    const access = this.#trace.accesses[number]!;
    const { row } = access;
    const folded = this.#folded(number);
    const fold = element(
      'span',
      { class: 'fold', 'aria-hidden': 'true', title: folded ? 'unfold' : 'fold' },
      folded ? '▸' : '▾',
    );
    const count = element('span', { class: 'count' }, `${access.end - access.first}`);
    if (row === undefined)
      return element('div', { class: 'row access' }, fold, element('b', {}, 'before the guest'), count);
    const [id, , instruction, reason, places] = row;
    return element(
      'div',
      { class: 'row access' },
      fold,
      element('span', { class: 'number' }, `#${id}`),
      element('b', {}, instruction.replace(/\s+/g, ' ')),
      element(
        'span',
        { class: 'place' },
        placeName(this.#trace, places.find(([, file]) => this.#trace.isOwn(file)) ?? places[0]),
      ),
      element('span', { class: 'reason' }, reason),
      element('span', { class: 'took' }, duration(this.#trace.duration(access))),
      count,
    );
  }

  #event(position: number, index: number): HTMLElement {
    const [, , end, cost, text] = this.#trace.event(index);
    const title = this.#trace.title(index);
    const layer = this.#trace.layer(index);
    const row = element(
      'div',
      { class: 'row', 'aria-label': `${layer}: ${title} ${text}` },
      element('span', { class: 'time' }, moment(end - cost - this.#trace.start)),
      this.#lanes(position, index),
      element('span', { class: 'name' }, title),
      element('span', { class: 'text' }, text.replaceAll('\n', ' ')),
    );
    return row;
  }

  /** The lanes beside an event: where it is, and arrows from the lane of the step before it, and back into the guest. */
  #lanes(position: number, index: number): SVGSVGElement {
    const width = this.#laneWidth;
    const lane = this.#trace.lane[index]!;
    const before = this.#rows[position - 1];
    const after = this.#rows[position + 1];
    const laneOf = (row: Row | undefined) => (row === undefined || isHeadline(row) ? -1 : this.#trace.lane[row]!);
    const exits = this.#trace.title(index) === 'kvm_exit';
    const enters = this.#trace.title(index) === 'kvm_entry';
    const from = exits ? 0 : laneOf(before);
    const stays = laneOf(after) === lane;
    // The lane is active from the arrow that enters it until the arrow that leaves it.
    const top = from === lane ? 0 : MIDDLE - 7;
    const bottom = stays && !enters ? ROW_HEIGHT : MIDDLE + 7;
    const x = width * lane + width / 2;
    const bar = { class: `bar lane-${lane}`, x: x - 4, y: top, width: 8, height: bottom - top, rx: 1 };
    const lanes = svg('svg', {
      class: 'lanes',
      width: width * LANES.length,
      height: ROW_HEIGHT,
      'aria-hidden': 'true',
    });
    lanes.append(svg('rect', bar));
    if (from >= 0 && from !== lane) lanes.append(...this.#arrow(from, lane));
    else if (!enters) lanes.append(svg('circle', { class: 'dot', cx: x, cy: MIDDLE, r: 2 }));
    if (enters) lanes.append(...this.#arrow(lane, 0));
    return lanes;
  }

  #arrow(from: number, to: number): SVGElement[] {
    const centre = (lane: number) => this.#laneWidth * lane + this.#laneWidth / 2;
    const sign = Math.sign(to - from);
    const start = centre(from) + (from === 0 ? 0 : 4 * sign);
    const end = centre(to) - (to === 0 ? 1 : 5) * sign;
    return [
      svg('path', { class: 'arrow', d: `M${start} ${MIDDLE}H${end - 2 * sign}` }),
      svg('path', { class: 'tip', d: `M${end} ${MIDDLE}l${-6 * sign} -3.5v7z` }),
    ];
  }
}

/** `probe (driver.gasm:12)`. */
export function placeName(trace: Trace, place: readonly [string, number, number] | undefined): string {
  if (place === undefined) return '';
  const [symbol, file, line] = place;
  return file < 0 ? symbol : `${symbol} (${trace.data.files[file]!.name.replace(/^.*\//, '')}:${line})`;
}

function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | number>>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}
