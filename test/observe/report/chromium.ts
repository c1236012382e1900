/** Headless Chromium, driven over a pipe by the DevTools protocol: as much of it as looking at one page takes. */

import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** The browser's program, undefined where there is none. */
export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** One page in a browser of its own. */
export class Page {
  /** What the page has said on its console, and the errors that nobody caught. */
  readonly complaints: string[] = [];
  readonly #browser: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #listeners = new Map<string, () => void>();
  #session = '';
  #last = 0;
  #rest = '';

  private constructor(browser: ChildProcess, profile: string) {
    this.#browser = browser;
    this.#profile = profile;
    (browser.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => {
      const messages = (this.#rest + text).split('\0');
      this.#rest = messages.pop()!;
      for (const message of messages) this.#heard(JSON.parse(message) as Answer);
    });
  }

  /** Open the file at `path`, absolute, in a window of that size. */
  static async open(path: string, width: number, height: number): Promise<Page> {
    assert(CHROMIUM !== undefined, 'there is no Chromium');
    const profile = mkdtempSync(join(tmpdir(), 'gvm-chromium-'));
    const options = [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--hide-scrollbars',
      '--remote-debugging-pipe',
    ];
    const browser = spawn(CHROMIUM, [...options, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    const page = new Page(browser, profile);
    const { targetInfos } = await page.#send<{ targetInfos: { targetId: string; type: string }[] }>(
      'Target.getTargets',
    );
    const { targetId } = targetInfos.find(({ type }) => type === 'page')!;
    const { sessionId } = await page.#send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
    page.#session = sessionId;
    await page.#send('Page.enable');
    await page.#send('Runtime.enable');
    await page.#send('Log.enable');
    await page.resize(width, height);
    const loaded = new Promise<void>((resolve) => page.#listeners.set('Page.loadEventFired', resolve));
    await page.#send('Page.navigate', { url: `file://${path}` });
    await loaded;
    return page;
  }

  #heard({ id, method, params, ...answer }: Answer): void {
    if (id !== undefined) this.#waiting.get(id)?.(answer);
    if (method === undefined) return;
    this.#listeners.get(method)?.();
    if (['Runtime.exceptionThrown', 'Runtime.consoleAPICalled', 'Log.entryAdded'].includes(method))
      this.complaints.push(JSON.stringify(params));
  }

  async #send<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#last;
    const message = { id, method, params, ...(this.#session === '' ? {} : { sessionId: this.#session }) };
    const answer = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    (this.#browser.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    const { result, error } = await answer;
    assert(error === undefined, `${method}: ${error?.message}`);
    return result as T;
  }

  /** The value of an expression in the page; promises are waited for. */
  async value<T>(expression: string): Promise<T> {
    interface Evaluated {
      readonly result: { readonly value: T };
      readonly exceptionDetails?: object;
    }
    const parameters = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#send<Evaluated>('Runtime.evaluate', parameters);
    assert(exceptionDetails === undefined, JSON.stringify(exceptionDetails));
    return result.value;
  }

  async resize(width: number, height: number): Promise<void> {
    await this.#send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  async prefer(scheme: 'light' | 'dark'): Promise<void> {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.#send('Emulation.setEmulatedMedia', { features });
  }

  /** Press keys one after the other, by their names; a single character is typed. */
  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const text = key.length === 1 ? { text: key } : {};
      await this.#send('Input.dispatchKeyEvent', { type: 'keyDown', key, ...text });
      await this.#send('Input.dispatchKeyEvent', { type: 'keyUp', key });
    }
  }

  async click(x: number, y: number): Promise<void> {
    for (const type of ['mousePressed', 'mouseReleased'])
      await this.#send('Input.dispatchMouseEvent', { type, x, y, button: 'left', buttons: 1, clickCount: 1 });
  }

  /** A PNG of what is seen. */
  async screenshot(): Promise<Uint8Array> {
    return Buffer.from((await this.#send<{ data: string }>('Page.captureScreenshot')).data, 'base64');
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#browser.on('exit', resolve));
    this.#browser.kill();
    await gone;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
