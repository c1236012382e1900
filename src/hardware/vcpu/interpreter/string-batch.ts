/** String elements done before the vCPU looks up again: bounds the time between two looks at limits and events. */
export const STRING_BATCH = 4096;
