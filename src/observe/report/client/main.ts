/** The page of a report: reads the trace that it carries, and lets the parts answer the reader's hands. */

import { REPORT_VERSION, type ReportData } from '../data.ts';
import { Details } from './details.ts';
import { byId, element } from './dom.ts';
import { duration, headline, isHeadline, LANES, type Row, Trace } from './model.ts';
import { Sequence } from './sequence.ts';
import { Timeline } from './timeline.ts';

const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, '\u2009');

function start(data: ReportData): void {
  const trace = new Trace(data);
  const shownLanes = LANES.map(() => true);
  const folded = new Set<number>();
  let events = new Int32Array(0);

  const search = byId<HTMLInputElement>('search');
  const details = new Details(trace);
  const timeline = new Timeline(trace, (event) => sequence.goToEvent(event));
  const sequence = new Sequence(trace, {
    chosen: (row) => {
      details.show(row);
      mark();
      location.replace(`#${isHeadline(row) ? trace.accesses[~row]!.first : row}`);
    },
    fold: (access) => fold(access),
    folded: (access) => folded.has(access),
  });

  const eventOf = (row: Row): number => (isHeadline(row) ? trace.accesses[~row]!.first : row);
  const timeOf = (row: Row | undefined): number => {
    if (row === undefined) return trace.start;
    const [, , end, cost] = trace.event(eventOf(row));
    return end - cost;
  };
  const mark = () => {
    const [first, last] = sequence.sight;
    const selected = sequence.row;
    timeline.mark(
      timeOf(sequence.at(first)),
      timeOf(sequence.at(last)),
      selected === undefined ? undefined : timeOf(selected),
    );
  };
  const refold = () => sequence.show(trace.rows(events, (access) => folded.has(access)));
  const refilter = () => {
    events = new Int32Array(trace.matching({ text: search.value, lanes: shownLanes }));
    timeline.show(events);
    refold();
    const all = data.events.length;
    byId('found').textContent =
      events.length === all ? `${grouped(all)} events` : `${grouped(events.length)} of ${grouped(all)}`;
    byId('empty').hidden = events.length > 0;
  };
  const fold = (access: number) => {
    if (!folded.delete(access)) folded.add(access);
    refold();
  };
  const foldAll = (all: boolean) => {
    folded.clear();
    if (all) for (let access = 0; access < trace.accesses.length; access++) folded.add(access);
    refold();
  };

  byId('program').textContent = data.program;
  document.title = `${data.program.replace(/^.*\//, '')} — gvm trace`;
  byId('summary').textContent =
    `${grouped(data.accesses.length)} guest accesses, ${duration(trace.end - trace.start)} of modeled time`;

  LANES.forEach((name, lane) => {
    const button = element(
      'button',
      { type: 'button', 'aria-pressed': 'true', title: `show or hide ${name} (key ${lane + 1})` },
      element('span', { class: `swatch lane-${lane}`, 'aria-hidden': 'true' }),
      name,
    );
    button.addEventListener('click', () => {
      shownLanes[lane] = !shownLanes[lane];
      button.setAttribute('aria-pressed', String(shownLanes[lane]));
      refilter();
    });
    byId('heads').append(button);
  });

  const help = byId<HTMLDialogElement>('help');
  const step = (count: number) => sequence.select(Math.max(sequence.position, 0) + count);
  const stepAccess = (direction: 1 | -1) => {
    let position = sequence.position + direction;
    while (position > 0 && position < sequence.count - 1 && !isHeadline(sequence.at(position)!)) position += direction;
    sequence.select(position);
  };
  /** → unfolds or goes in, ← folds or goes out, as in a tree. */
  const setFolded = (wanted: boolean) => {
    const { row } = sequence;
    if (row === undefined) return;
    const access = isHeadline(row) ? ~row : trace.accessOf[row]!;
    if (folded.has(access) !== wanted) {
      if (wanted && !isHeadline(row)) sequence.select(positionOf(headline(access)));
      fold(access);
    } else step(wanted ? 0 : 1);
  };
  const positionOf = (row: Row) => {
    let position = sequence.position;
    while (position > 0 && sequence.at(position) !== row) position--;
    return position;
  };
  const keys: Readonly<Record<string, () => void>> = {
    ArrowDown: () => step(sequence.position < 0 ? 0 : 1),
    ArrowUp: () => step(-1),
    j: () => step(1),
    k: () => step(-1),
    PageDown: () => step(sequence.page),
    PageUp: () => step(-sequence.page),
    Home: () => sequence.select(0),
    End: () => sequence.select(sequence.count - 1),
    n: () => stepAccess(1),
    p: () => stepAccess(-1),
    ArrowRight: () => setFolded(false),
    ArrowLeft: () => setFolded(true),
    f: () => foldAll(folded.size === 0),
    '/': () => search.focus(),
    '?': () => help.showModal(),
    Escape: () => {
      search.value = '';
      refilter();
      byId('rows').focus();
    },
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target === search) {
      if (event.key === 'Enter' || event.key === 'ArrowDown') {
        byId('rows').focus();
        if (sequence.position < 0) sequence.select(0);
      } else if (event.key !== 'Escape') return;
      else keys['Escape']!();
      event.preventDefault();
      return;
    }
    if ((event.target as Element).closest?.('button, .source') && !/^[/?jknpf]$/.test(event.key)) return;
    const lane = '123456'.indexOf(event.key);
    const action = lane >= 0 ? () => byId('heads').querySelectorAll('button')[lane]?.click() : keys[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
  search.addEventListener('input', refilter);
  byId('fold').addEventListener('click', () => foldAll(folded.size === 0));
  byId('keys').addEventListener('click', () => help.showModal());
  byId('theme').addEventListener('click', () => {
    const { dataset } = document.documentElement;
    const dark =
      dataset['theme'] === undefined ? matchMedia('(prefers-color-scheme: dark)').matches : dataset['theme'] === 'dark';
    dataset['theme'] = dark ? 'light' : 'dark';
    timeline.redraw();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => timeline.redraw());
  byId('rows').addEventListener('sight', mark);

  refilter();
  byId('rows').focus();
  const { telling } = trace;
  const wanted = Number(location.hash.slice(1));
  if (wanted > 0 && wanted < data.events.length) sequence.goToEvent(wanted);
  else if (telling >= 0) sequence.goToAccess(telling);
  else sequence.select(0);
}

const data = JSON.parse(byId('trace').textContent) as ReportData;
if (data.version === REPORT_VERSION) start(data);
else
  byId('empty').textContent =
    `This page shows reports of version ${REPORT_VERSION}, and its data are of version ${data.version}.`;
