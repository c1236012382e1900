/** Under which name generated code finds the part of the vCPU that offers a service. */

import type { ServiceName } from '../ops.ts';

const ROOMS = {
  controls: [
    'readControl',
    'writeControl',
    'readMachineStatus',
    'writeMachineStatus',
    'clearTaskSwitched',
    'readDebug',
    'writeDebug',
    'invalidatePage',
    'invalidatePcid',
  ],
  msrs: [
    'readMsr',
    'writeMsr',
    'swapGs',
    'readBase',
    'writeBase',
    'readTimestamp',
    'readTimestampAndProcessor',
    'readProcessor',
    'readPerformanceCounter',
  ],
  tables: [
    'loadGdt',
    'loadIdt',
    'storeGdt',
    'storeIdt',
    'loadTask',
    'readTask',
    'loadLocalTable',
    'readLocalTable',
    'loadSegment',
    'loadStackSegment',
    'readSegment',
    'verifySegment',
    'segmentRights',
    'segmentLimit',
  ],
  transfers: [
    'farReturn',
    'farJump',
    'farCall',
    'systemCall',
    'systemReturn',
    'systemEnter',
    'systemExit',
    'interruptReturn',
  ],
} as const satisfies Record<string, readonly ServiceName[]>;

/** Services of each room, as types, for the classes to implement. */
export type ServicesOf<Room extends keyof typeof ROOMS> = (typeof ROOMS)[Room][number];
/** Those that `services` offers: all the others. */
export type OtherServices = Exclude<ServiceName, ServicesOf<keyof typeof ROOMS>>;

const rooms = new Map<ServiceName, string>(
  Object.entries(ROOMS).flatMap(([room, names]) => names.map((name) => [name, room] as const)),
);

export const roomOf = (name: ServiceName): string => rooms.get(name) ?? 'services';
