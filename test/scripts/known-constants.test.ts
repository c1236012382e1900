/** What is shipped is the sources rewritten for the engine: it has to do what they do. */

import { describe, expect, test } from 'vitest';
// @ts-expect-error a build script, without types
import { knownConstants } from '../../scripts/known-constants.js';

const rewritten = (text: string, sourceType = 'script'): string => knownConstants(text, sourceType);
/** What a script's last expression comes to, as it stands and rewritten. */
const both = (text: string) =>
  [text, rewritten(text)].map((each) => new Function(`return eval(${JSON.stringify(each)})`)());

describe('constants for the engine', () => {
  test('private names of a class are no other class’s, derived from it or within it', () => {
    const [plain, known] = both(`
      class Base { #n = 1; #m() { return 'base'; } get base() { return this.#m() + this.#n; } static #s = 5; static get s() { return Base.#s; } }
      class Derived extends Base { #n = 2; #m() { return 'derived'; } get derived() { return this.#m() + this.#n; }
        inner() { const outer = this; return new (class { #n = 3; get both() { return [this.#n, outer.#m()]; } })().both; } }
      const d = new Derived(); [d.base, d.derived, Base.s, d.inner()].join()`);
    expect(known).toBe(plain);
    expect(known).toBe('base1,derived2,5,3,derived');
  });

  test('a field that the constructor gives its value is not declared; any other is', () => {
    const text = rewritten(`class A { #given; #late; plain; #two = 2;
      constructor(x) { this.#given = x; if (x) this.#late = x; this.plain = x; } }`);
    expect(text).not.toMatch(/_given_1;\\s*_late|\\bplain;/);
    expect(text).toMatch(/_late_1;/);
    expect(text).toMatch(/_two_1 = 2;/);
    expect(
      both(
        'class A { #x; y; constructor(v) { this.y = v; this.#x = v; } get x() { return this.#x; } } new A(4).x + new A(5).y',
      ),
    ).toEqual([9, 9]);
  });

  test('functions are there before all else, and stay assignable where they are assigned', () => {
    expect(both('const early = later(2); function later(n) { return n < 1 ? 0 : n + later(n - 1); } early')).toEqual([
      3, 3,
    ]);
    expect(both('function f() { return 1; } f = () => 2; f()')).toEqual([2, 2]);
    expect(rewritten('function f() {}')).toContain('const f = function');
    expect(rewritten('function f() {} f = 0;')).not.toContain('const f');
    const async = rewritten('async function f() {} function* g() {} export { f, g };', 'module');
    expect(async).toContain('const f = async function');
    expect(async).toContain('const g = function*');
  });

  test('variables of the top level that are given one value are constants', () => {
    const text = rewritten(
      'var a = 1; var b = 2; var c; var d = 4; var e = 5; var f = 6; b++; [d] = [5]; ({ x: e } = { x: 6 }); for (f of []);',
    );
    expect(text).toContain('const a = 1;');
    for (const name of 'bcdef') expect(text).toMatch(new RegExp(`var ${name}\\b`));
    expect(rewritten('var a = 1; var a = 2; function g() { a; }')).not.toContain('const a');
  });

  test('what is strict stays so', () => {
    const strict = '"use strict"; function f() { return this === undefined; } f()';
    expect(rewritten(strict)).toMatch(/^"use strict";\s*const f/);
    expect(both(strict)).toEqual([true, true]);
  });

  test('who asks whether an object has a private field is told that this cannot be', () => {
    expect(() => rewritten('class A { #x = 1; static is(a) { return #x in a; } }')).toThrow('`#x in`');
  });
});
