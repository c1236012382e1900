/** Whether a machine runs gvm that nobody watches: then there is no progress to show, and goldens are not written. */

/** CI services set `CI` to `true` or `1`; empty or `false` it says that this is none. */
export const inCi = (): boolean => !['', 'false', undefined].includes(process.env['CI']);
