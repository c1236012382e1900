/** Trace events of the mdev core: the life of a mediated device, and its accesses on the way to the driver. */

import { event } from '../../event.ts';

/** A UUID was written to `create`. */
export const mdevCreate = event(
  'mdev_create',
  'mdev',
  { uuid: 'string', type: 'string', result: 's32' },
  (e) => `${e.uuid} type ${e.type} = ${e.result}`,
  'A mediated device was made on a parent, or refused.',
);

/** The device is gone. */
export const mdevRemove = event(
  'mdev_remove',
  'mdev',
  { uuid: 'string', type: 'string' },
  (e) => `${e.uuid} type ${e.type}`,
  'A mediated device went; if it was open, at its last close.',
);

/** mdev_parent_ops.read is called. */
export const mdevRead = event(
  'mdev_read',
  'mdev',
  { uuid: 'string', position: 'address', count: 'u32' },
  (e) => `(${e.uuid}) pos 0x${e.position.toString(16)} count ${e.count}`,
  "The parent driver's read is called: mdev_parent_ops.read.",
);

/** mdev_parent_ops.write is called. */
export const mdevWrite = event(
  'mdev_write',
  'mdev',
  { uuid: 'string', position: 'address', count: 'u32' },
  (e) => `(${e.uuid}) pos 0x${e.position.toString(16)} count ${e.count}`,
  "The parent driver's write is called: mdev_parent_ops.write.",
);
