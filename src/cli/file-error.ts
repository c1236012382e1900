/** Why a file of the user's can be neither read nor written, in the words of every other tool. */

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EFBIG: 'File too large',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
  ENOENT: 'No such file or directory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  EPIPE: 'the reader of the pipe is gone',
  EROFS: 'Read-only file system',
};

/** What an error of node:fs says. */
export function fileError(error: unknown): string {
  const { code = '', message } = error as { code?: string; message: string };
  return reasons[code] ?? message;
}
