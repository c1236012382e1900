/**
 * Traces as Linux's ftrace prints them (kernel/trace/trace_output.c), so that scripts made for trace-cmd and perf read them:
 * ` qemu-system-x86-3267    [000] .....   467.410834: kvm_pio: pio_write at …`.
 */

import type { TimedRecord } from './host-time.ts';
import type { Task, TraceFormat } from './trace-format.ts';

const HEADER = `# tracer: nop
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
`;
/** TASK_COMM_LEN, less the final zero. */
const COMM = 15;
/** KVM enters the guest with interrupts off and preemption disabled. */
const flagsOf: Readonly<Record<string, string>> = { kvm_entry: 'd..1.' };

/** `current` tells the task that runs when an event fires. */
export function ftrace(current: () => Task): TraceFormat {
  let shown: Task | undefined;
  let task = '';
  return {
    begin: () => HEADER,
    event(record) {
      const running = current();
      if (running !== shown) {
        shown = running;
        task = `${running.name.slice(0, COMM).padStart(16)}-${String(running.pid).padEnd(7)}`;
      }
      const flags = flagsOf[record.event.title] ?? '.....';
      return `${task} [000] ${flags} ${timestamp(record)}: ${record.event.title}: ${textOf(record)}\n`;
    },
    end: () => '',
  };
}

/** Seconds and microseconds, seconds right-aligned. */
function timestamp({ end }: TimedRecord): string {
  const micros = Math.floor(end / 1000);
  const seconds = Math.floor(micros / 1_000_000);
  return `${String(seconds).padStart(5)}.${String(micros % 1_000_000).padStart(6, '0')}`;
}

/** An event is one line, whatever its text. */
function textOf({ event, fields }: TimedRecord): string {
  const text = event.text(fields as never);
  return text.includes('\n') ? text.replaceAll('\n', '\\n') : text;
}
