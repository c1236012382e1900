/** The whole run in one strip: for each lane how busy it is at each moment, and what of it is in sight below. */

import { byId } from './dom.ts';
import { duration, LANES, type Trace } from './model.ts';

const LANE_HEIGHT = 8;
const GAP = 3;
const TOP = 4;
const AXIS = 18;
/** How faint a hardly busy lane is. */
const FAINT = 0.25;

export class Timeline {
  readonly #trace: Trace;
  readonly #canvas = byId<HTMLCanvasElement>('timeline');
  #events: Int32Array = new Int32Array(0);
  #picture: ImageBitmap | HTMLCanvasElement | undefined;
  #sight: readonly [from: number, to: number] = [0, 0];
  #cursor: number | undefined;

  /** `goTo` is told of the event that the reader points at. */
  constructor(trace: Trace, goTo: (event: number) => void) {
    this.#trace = trace;
    const canvas = this.#canvas;
    canvas.style.height = `${TOP + LANES.length * (LANE_HEIGHT + GAP) + AXIS}px`;
    const point = (event: PointerEvent) => {
      const index = this.#eventAt((event.offsetX / canvas.clientWidth) * (trace.end - trace.start) + trace.start);
      if (index !== undefined) goTo(index);
    };
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      point(event);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (event.buttons !== 0) point(event);
    });
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  /** Show these events only. */
  show(events: Int32Array): void {
    this.#events = events;
    this.redraw();
  }

  /** Mark the times in sight, and that of the selected event. */
  mark(from: number, to: number, cursor: number | undefined): void {
    this.#sight = [from, to];
    this.#cursor = cursor;
    this.#paint();
  }

  /** Sizes, colours or events have changed. */
  redraw(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    if (clientWidth === 0) return;
    const scale = devicePixelRatio;
    this.#canvas.width = Math.round(clientWidth * scale);
    this.#canvas.height = Math.round(clientHeight * scale);
    const picture = document.createElement('canvas');
    picture.width = this.#canvas.width;
    picture.height = this.#canvas.height;
    this.#paintLanes(picture, scale);
    this.#picture = picture;
    this.#paint();
  }

  /** The event that begins last before `time`. */
  #eventAt(time: number): number | undefined {
    let low = 0;
    let high = this.#events.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const [, , end, cost] = this.#trace.event(this.#events[middle]!);
      if (end - cost <= time) low = middle;
      else high = middle - 1;
    }
    return this.#events[low];
  }

  #x(time: number): number {
    const { start, end } = this.#trace;
    return end === start ? 0 : ((time - start) / (end - start)) * this.#canvas.width;
  }

  #paintLanes(picture: HTMLCanvasElement, scale: number): void {
    const context = picture.getContext('2d')!;
    const style = getComputedStyle(this.#canvas);
    const columns = picture.width;
    LANES.forEach((_, lane) => {
      const y = (TOP + lane * (LANE_HEIGHT + GAP)) * scale;
      context.fillStyle = style.getPropertyValue('--line');
      context.fillRect(0, y + (LANE_HEIGHT * scale) / 2, columns, 1);
      // By column of pixels: how much of its time the lane is at work.
      const busy = new Float32Array(columns);
      const mark = (begin: number, end: number) => {
        const from = Math.min(this.#x(begin), columns - 1);
        // A step that takes no time is seen too.
        const to = Math.min(Math.max(this.#x(end), from + Number.EPSILON * columns), columns);
        for (let column = Math.floor(from); column < to; column++)
          busy[column]! += Math.min(to, column + 1) - Math.max(from, column);
      };
      if (lane === 0) {
        for (const access of this.#trace.accesses) {
          const [, , end, cost] = this.#trace.event(access.first);
          const since = this.#trace.guestSince(access);
          if (since < end - cost) mark(since, end - cost);
        }
      }
      for (const index of this.#events) {
        if (this.#trace.lane[index] !== lane) continue;
        const [, , end, cost] = this.#trace.event(index);
        mark(end - cost, end);
      }
      context.fillStyle = style.getPropertyValue(`--lane-${lane}`);
      busy.forEach((share, column) => {
        if (share === 0) return;
        context.globalAlpha = FAINT + (1 - FAINT) * Math.min(1, share);
        context.fillRect(column, y, 1, LANE_HEIGHT * scale);
      });
      context.globalAlpha = 1;
    });
    this.#paintAxis(context, scale, style);
  }

  /** Round times, some 120 pixels apart. */
  #paintAxis(context: CanvasRenderingContext2D, scale: number, style: CSSStyleDeclaration): void {
    const total = this.#trace.end - this.#trace.start;
    const wanted = (total * 120) / this.#canvas.clientWidth;
    const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= wanted) ?? power * 10;
    context.fillStyle = style.getPropertyValue('--quiet');
    context.font = `${11 * scale}px ${style.fontFamily}`;
    const y = (TOP + LANES.length * (LANE_HEIGHT + GAP)) * scale;
    for (let time = 0; time <= total; time += step) {
      const x = this.#x(this.#trace.start + time);
      context.fillRect(Math.round(x), y, 1, 4 * scale);
      const label = time === 0 ? '0' : duration(time).replace(/\.0+ | (?=\D+$)/, '\u2009');
      if (x + 60 * scale < this.#canvas.width) context.fillText(label, x + 4 * scale, y + 12 * scale);
    }
  }

  #paint(): void {
    if (this.#picture === undefined) return;
    const context = this.#canvas.getContext('2d')!;
    const { width, height } = this.#canvas;
    const style = getComputedStyle(this.#canvas);
    const lanes = (TOP + LANES.length * (LANE_HEIGHT + GAP)) * devicePixelRatio;
    context.clearRect(0, 0, width, height);
    const [from, to] = this.#sight.map((time) => this.#x(time)) as [number, number];
    context.fillStyle = style.getPropertyValue('--sight');
    context.fillRect(from - 1, 0, Math.max(to - from, 2) + 2, lanes);
    context.drawImage(this.#picture, 0, 0);
    if (this.#cursor === undefined) return;
    context.fillStyle = style.getPropertyValue('--text');
    context.fillRect(Math.round(this.#x(this.#cursor)) - devicePixelRatio / 2, 0, Math.max(1, devicePixelRatio), lanes);
  }
}
