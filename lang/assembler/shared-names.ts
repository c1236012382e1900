/**
 * Names of `%%label`s in lines that several calls of a macro share: the same word for all, which means another symbol in each. The
 * letter in the place of the serial number is one that no source uses: U+E000, of the private ones.
 */

const ANY_CALL = '..@\ue000.';

/** The word for the label of a call, `..@4.label`, in all calls; other words as they are. */
export function nameInAnyCall(name: string, serial: number): string {
  const own = `..@${serial}.`;
  return name.startsWith(own) ? ANY_CALL + name.slice(own.length) : name;
}

/** The symbol that a word means in the call numbered `serial`. */
export function nameInCall(name: string, serial: number | undefined): string {
  return isNameInAnyCall(name) ? `..@${serial}.${name.slice(ANY_CALL.length)}` : name;
}

/** True of the word for a label in all calls. */
export function isNameInAnyCall(name: string): boolean {
  return name.charCodeAt(3) === 0xe000 && name.startsWith(ANY_CALL);
}

/** Number of the call that a label of its own belongs to; undefined of other words. */
export function serialIn(name: string): number | undefined {
  const [, serial, dollar] = name.startsWith('..@') ? (OWN.exec(name) ?? []) : [];
  return dollar === '' ? Number(serial) : undefined;
}

/** The word as the author of the macro wrote it: `%%label`, or `%$label` of a context. */
export function asWritten(name: string): string {
  const [, , dollar, local] = OWN.exec(name) ?? [];
  return local === undefined ? name : `${dollar === '' ? '%%' : '%$'}${local}`;
}

const OWN = /^\.\.@(\d+|\ue000)\.(\$?)(.*)$/;
