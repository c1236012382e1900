/** Signals the model sends, by their names in strace and `kill -l` (include/uapi/asm/signal.h). */

export const SIGNAL = { SIGINT: 2, SIGALRM: 14, SIGTERM: 15, SIGXCPU: 24 } as const;
export type SignalName = keyof typeof SIGNAL;
