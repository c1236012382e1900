/** A path as one word of a shell; one that begins with a dash would be an option. */
export function shellWord(path: string): string {
  const named = path.startsWith('-') ? `./${path}` : path;
  return /^[\p{L}\p{N}_@%+=:,./-]+$/u.test(named) ? named : `'${named.replaceAll("'", "'\\''")}'`;
}
