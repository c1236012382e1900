/** What is known of the selected row: the event, its access, the source, and the walk of the address. */

import { byId, element } from './dom.ts';
import { type Access, duration, isHeadline, LANES, moment, type Row, type Trace } from './model.ts';

/** Source lines shown above and below the one in question. */
const AROUND = 5;

export class Details {
  readonly #trace: Trace;
  readonly #panel = byId('details');
  /** Of an access, which of its places is shown; the reader may go up to a caller. */
  #place = 0;
  #access = -1;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  show(row: Row): void {
    const number = isHeadline(row) ? ~row : this.#trace.accessOf[row]!;
    const access = this.#trace.accesses[number]!;
    if (number !== this.#access) {
      this.#access = number;
      this.#place = this.#firstOwn(access);
    }
    this.#panel.replaceChildren(
      ...(isHeadline(row) ? [] : [this.#event(row)]),
      this.#accessSection(access),
      ...this.#source(access, row),
      ...this.#walk(access),
    );
  }

  /** The reader's own source is of more interest than the library's. */
  #firstOwn({ row }: Access): number {
    return Math.max(row?.[4].findIndex(([, file]) => this.#trace.isOwn(file)) ?? 0, 0);
  }

  #event(index: number): HTMLElement {
    const [, , end, cost, text] = this.#trace.event(index);
    const lane = this.#trace.lane[index]!;
    const begin = end - cost - this.#trace.start;
    return section(
      this.#trace.title(index),
      element('p', { class: 'doc' }, this.#trace.doc(index)),
      element('pre', { class: 'whole' }, text === '' ? '(nothing more to tell)' : text),
      facts([
        ['layer', `${this.#trace.layer(index)}, lane ${LANES[lane]}`],
        ['time', `${moment(begin)} µs${cost > 0 ? `, ${duration(cost)} modeled` : ''}`],
      ]),
    );
  }

  #accessSection(access: Access): HTMLElement {
    const { row } = access;
    const total = this.#trace.duration(access);
    const times = this.#trace.laneTimes(access);
    const longest = Math.max(...times, 1);
    const bars = LANES.flatMap((name, lane) => {
      const time = times[lane]!;
      if (time === 0) return [];
      const bar = element('span', { class: `share lane-${lane}`, style: `width:${(100 * time) / longest}%` });
      return [element('dt', {}, name), element('dd', {}, element('span', { class: 'track' }, bar), duration(time))];
    });
    const spent = bars.length === 0 ? [] : [element('dl', { class: 'times' }, ...bars)];
    if (row === undefined)
      return section(
        'Before the guest',
        element('p', { class: 'doc' }, 'What happened before the first access.'),
        ...spent,
      );
    const [number, rip, instruction, reason] = row;
    return section(
      `Access ${number}`,
      element('pre', { class: 'whole' }, instruction.replace(/\s+/g, ' ')),
      facts([
        ['rip', rip],
        ['exit', reason],
        ['events', `${access.end - access.first} in ${duration(total)}`],
      ]),
      ...spent,
    );
  }

  #source(access: Access, shown: Row): HTMLElement[] {
    const places = access.row?.[4] ?? [];
    const place = places[this.#place];
    if (place === undefined) return [];
    const [symbol, file, line] = place;
    const source = this.#trace.data.files[file];
    const tabs = element('div', { class: 'places', role: 'tablist', 'aria-label': 'Call chain' });
    places.forEach(([name, , at], index) => {
      const label = `${index === 0 ? '' : '← '}${name}${at > 0 ? `:${at}` : ''}`;
      const tab = element(
        'button',
        { type: 'button', role: 'tab', 'aria-selected': String(index === this.#place) },
        label,
      );
      tab.addEventListener('click', () => {
        this.#place = index;
        this.show(shown);
      });
      tabs.append(tab);
    });
    const name = source === undefined ? symbol : `${source.name}:${line}`;
    if (source?.lines == null)
      return [section('Source', tabs, element('p', { class: 'doc' }, `${name} is not at hand.`))];
    const first = Math.max(0, line - 1 - AROUND);
    const lines = source.lines.slice(first, line + AROUND).map((text, index) => {
      const here = first + index === line - 1;
      return element(
        'div',
        here ? { class: 'line here', 'aria-current': 'true' } : { class: 'line' },
        element('span', { class: 'gutter' }, `${here ? '▸' : ''}${first + index + 1}`),
        element('code', {}, text === '' ? ' ' : text),
      );
    });
    return [
      section(
        'Source',
        tabs,
        element('p', { class: 'file' }, name),
        element('div', { class: 'source', tabindex: 0 }, ...lines),
      ),
    ];
  }

  #walk({ row }: Access): HTMLElement[] {
    const walk = this.#trace.data.walks[row?.[5] ?? -1];
    if (walk === undefined) return [];
    const steps = walk.map((line) => {
      const entry = /^ +level (\d) +(.*?) = (0x[0-9a-f]+) +(.*)$/.exec(line);
      if (entry === null) return element('div', { class: line.startsWith(' ') ? 'note' : 'stage' }, line.trim());
      const [, level, where, value, bits] = entry;
      return element(
        'div',
        { class: 'entry' },
        element('span', { class: 'level', title: `level ${level}` }, level!),
        element('span', { class: 'where' }, where!.replace(/^(\w+) +at/, '$1 at')),
        element('code', {}, value!),
        element('span', { class: 'bits' }, bits!),
      );
    });
    return [section('Page walk', element('div', { class: 'walk' }, ...steps))];
  }
}

const section = (title: string, ...children: readonly (Node | string)[]): HTMLElement =>
  element('section', {}, element('h2', {}, title), ...children);

const facts = (rows: readonly (readonly [string, string])[]): HTMLElement =>
  element(
    'dl',
    { class: 'facts' },
    ...rows.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  );
