/** The page of a report, in a real browser: what a reader sees and does. Skipped where there is no Chromium. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { gvm } from '../../cli/gvm.ts';
import { CHROMIUM, Page } from './chromium.ts';

const ROW = '[...document.querySelectorAll(".row")]';
const selected = 'document.querySelector(".row[aria-selected=true]")';
const textOf = (what: string) => `${what}?.textContent.replace(/\\s+/g, " ").trim()`;
const section = (title: string) =>
  `[...document.querySelectorAll("#details section")].find((each) => each.querySelector("h2").textContent === ${JSON.stringify(title)})`;

const folder = mkdtempSync(join(tmpdir(), 'gvm-report-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.skipIf(CHROMIUM === undefined)('a report in Chromium', { timeout: 60_000 }, () => {
  const path = join(folder, 'edu.html');
  let page: Page;
  beforeAll(async () => {
    expect(gvm('trace', 'programs/edu/factorial.gasm', '-o', path).status).toBe(0);
    page = await Page.open(path, 1280, 800);
  }, 60_000);
  afterAll(() => page.close());
  beforeEach(() => page.press('Escape', 'Escape'));

  test('needs nothing but itself, and opens without a complaint', async () => {
    expect(readFileSync(path, 'utf8')).not.toMatch(/(src|href)=|https?:\/\/(?!www\.w3\.org)/);
    expect(page.complaints).toEqual([]);
    expect(await page.value('document.title')).toBe('factorial.gasm — gvm trace');
    expect(await page.value(textOf('document.getElementById("heads")'))).toBe('guestvCPUKVMQEMUVFIOdriver');
  });

  test('rows stand only where they are seen', async () => {
    const events = Number(
      (await page.value<string>('document.getElementById("found").textContent')).replace(/\D/g, ''),
    );
    expect(events).toBeGreaterThan(1000);
    expect(await page.value<number>(`${ROW}.length`)).toBeLessThan(80);
    expect(await page.value<number>('document.getElementById("space").offsetHeight')).toBeGreaterThan(events * 20);
  });

  test('the search keeps the accesses and events that have all words', async () => {
    await page.press('/', ...'kvm_mmio write !unsatisfied');
    const rows = await page.value<string[]>(`${ROW}.map((row) => row.className + " " + row.textContent)`);
    expect(rows.length).toBeGreaterThan(2);
    for (const row of rows) expect(row).toMatch(/^row access .*EPT_|^row .*kvm_mmiommio (write|read)/);
    expect(await page.value('document.getElementById("found").textContent')).toMatch(/^\d[\d\u2009]* of \d/);
    await page.press('Escape');
    expect(await page.value('document.getElementById("found").textContent')).toMatch(/^[\d\u2009]+ events$/);
  });

  test('an MMIO access shows the walk of its address, entry by entry, its source and its callers', async () => {
    await page.press('/', ...'kvm_mmio write', 'Enter', 'End');
    expect(await page.value(textOf(selected))).toContain('kvm_mmiommio write');
    const walk = await page.value<string>(`${section('Page walk')}.innerText`);
    expect(walk).toMatch(/guest virtual 0x[0-9a-f]+[\s\S]*PML4E at gpa 0x[0-9a-f]+\s+0x[0-9a-f]+\s+P RW/);
    expect(walk).toMatch(/guest physical 0x4[0-9a-f]+[\s\S]*no memory slot[\s\S]*EPT_MISCONFIG: an MMIO entry/);
    expect(await page.value(`${section('Source')}.querySelector('.here code').textContent`)).toMatch(/call|mov/);
    expect(await page.value<number>(`${section('Source')}.querySelectorAll('[role=tab]').length`)).toBeGreaterThan(1);
  });

  test('the keyboard goes everywhere: rows, accesses, folds, lanes, help', async () => {
    await page.press('Home');
    const first = await page.value<string>(textOf(selected));
    await page.press('n');
    expect(await page.value(textOf(selected))).toMatch(/^▾#1cld/);
    await page.press('ArrowDown');
    expect(await page.value(textOf(selected))).toContain('kvm_exit');
    expect(await page.value('document.activeElement.getAttribute("aria-activedescendant")')).toBe(
      await page.value(`${selected}.id`),
    );
    await page.press('ArrowLeft');
    expect(await page.value(textOf(selected))).toMatch(/^▸#1cld/);
    await page.press('ArrowRight', 'p');
    expect(await page.value(textOf(selected))).toBe(first);
    await page.press('4');
    expect(await page.value(`${ROW}.some((row) => row.textContent.includes("memory_region_ops"))`)).toBe(false);
    await page.press('4', '?');
    expect(await page.value('document.getElementById("help").open')).toBe(true);
    await page.value('document.getElementById("help").close()');
    await page.press('f');
    expect(await page.value(`${ROW}.every((row) => row.classList.contains("access"))`)).toBe(true);
    await page.press('f');
  });

  test('an access draws its road: from the guest to QEMU and back', async () => {
    await page.press('/', ...'memory_region_ops_write', 'Enter', 'Home', 'n');
    await page.press('Escape');
    const arrows = await page.value<number[]>(
      `(() => { const at = +${selected}.dataset.at; return ${ROW}.filter((row) => +row.dataset.at > at && +row.dataset.at < at + 9)
        .map((row) => row.querySelectorAll(".tip").length); })()`,
    );
    expect(arrows[0]).toBe(1);
    expect(arrows.filter((count) => count > 0).length).toBeGreaterThanOrEqual(3);
  });

  test('the time line goes to what is pointed at', async () => {
    const before = await page.value(textOf(selected));
    await page.click(900, 90);
    expect(await page.value(textOf(selected))).not.toBe(before);
    expect(await page.value('location.hash')).toMatch(/^#\d+$/);
  });

  test.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 420],
    ['dark', 800],
  ] as const)('%s, %d pixels wide: readable, nothing sticks out', async (scheme, width) => {
    await page.prefer(scheme);
    await page.resize(width, 800);
    const [text, paper] = await page.value<[string, string]>(
      '(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.documentElement))',
    );
    expect(contrast(text, paper)).toBeGreaterThan(7);
    const quiet = await page.value<string>('getComputedStyle(document.getElementById("summary")).color');
    expect(contrast(quiet, paper)).toBeGreaterThan(4.5);
    expect(await page.value<number>('document.documentElement.scrollWidth')).toBe(width);
    const heads = await page.value<number[]>(
      '[...document.querySelectorAll("#heads button")].map((head) => head.getBoundingClientRect().right)',
    );
    expect(Math.max(...heads)).toBeLessThan(width);
    await page.resize(1280, 800);
  });

  test('a hundred thousand events open and scroll', async () => {
    const big = join(folder, 'big.html');
    expect(gvm('trace', 'test/bench/pio.gasm', '-D', 'COUNT=1', '-D', 'WINDOW=8000', '-o', big).status).toBe(0);
    const other = await Page.open(big, 1280, 800);
    try {
      expect(other.complaints).toEqual([]);
      const found = await other.value<string>('document.getElementById("found").textContent');
      expect(Number(found.replace(/\D/g, ''))).toBeGreaterThan(100_000);
      await other.press('End');
      expect(await other.value(textOf(selected))).toContain('vfio_dma_unmap');
      // Far jumps, each seen drawn in the next frame: the median is what a reader feels, whatever else this machine does.
      const frames = await other.value<number[]>(`new Promise((done) => {
        const rows = document.getElementById("rows"), times = [];
        const go = (count) => {
          const start = performance.now();
          rows.scrollTop = (count * 7919 * 131) % rows.scrollHeight;
          requestAnimationFrame(() => requestAnimationFrame(() => {
            times.push(performance.now() - start);
            count < 60 ? go(count + 1) : done(times);
          }));
        };
        go(0);
      })`);
      expect(frames.sort((a, b) => a - b)[30]).toBeLessThan(100);
      expect(await other.value<number>(`${ROW}.length`)).toBeLessThan(80);
    } finally {
      await other.close();
    }
  });
});

/** Contrast of two `rgb(…)` colours (WCAG 2). */
function contrast(one: string, other: string): number {
  const luminance = (colour: string) => {
    const [red, green, blue] = colour
      .match(/[\d.]+/g)!
      .map((part) => Number(part) / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light! + 0.05) / (dark! + 0.05);
}
