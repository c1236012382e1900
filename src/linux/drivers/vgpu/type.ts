/** The one type of vgpu, the same in both interfaces. */
export const TYPE = { sysfs_name: 'V1', pretty_name: 'Command scanner' } as const;
/** Devices that may exist at a time. */
export const INSTANCES = 4;
