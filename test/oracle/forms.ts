/** Every instruction form that a program can try on the host CPU: row, operand size, register or memory, condition. */

import type { Width } from '../../lang/isa/instruction.ts';
import { type Shape, shapeOf } from '../../lang/isa/shape.ts';
import { CONDITIONS, ROWS } from '../../lang/isa/table.ts';

export interface Form {
  readonly shape: Shape;
  /** Operand size; undefined where the row has none. */
  readonly width: Width | undefined;
  readonly memory: boolean;
  /** Condition or other choice in the low bits of the opcode. */
  readonly condition: number;
  readonly name: string;
}

/**
 * Meanings that the host does not answer for: they ask the machine (time, random numbers, CPUID), call its kernel or its
 * hypervisor, are emulated by the kernel (UMIP), exist on some makers' processors only, or change what the runner stands on.
 */
const NOT_ASKED: ReadonlySet<string> = new Set([
  'rdtsc',
  'rdtscp',
  'rdpid',
  'rdrand',
  'rdseed',
  'cpuid',
  'rdpmc',
  'xgetbv',
  'xsetbv',
  'syscall',
  'sysenter',
  'sysexit',
  'sysret',
  'vmcall',
  'vmmcall',
  'sgdt',
  'sidt',
  'sldt',
  'str',
  'smsw',
  'serialize',
  'rdfsbase',
  'rdgsbase',
  'wrfsbase',
  'wrgsbase',
  'lss',
  'lfs',
  'lgs',
  'pop-sreg',
]);

function formsOf(shape: Shape): Form[] {
  const { row } = shape;
  const widths: readonly (Width | undefined)[] = shape.widths.length > 0 ? shape.widths : [undefined];
  const takesMemory = shape.operands.some(({ kind }) => kind === 'rm' || kind === 'memory' || kind === 'far');
  const takesRegister = shape.mod !== 'memory';
  const conditions = shape.conditionInOpcode ? CONDITIONS.map((_, index) => index) : [0];
  return widths.flatMap((width) =>
    [false, true]
      .filter((memory) => (memory ? takesMemory : takesRegister))
      .flatMap((memory) =>
        conditions.map((condition) => ({
          shape,
          width,
          memory,
          condition,
          name: `${row.mnemonic} ${row.operands} (${row.encoding})${width ? ` ${width}` : ''}${memory ? ' memory' : ''}${
            shape.conditionInOpcode ? ` ${CONDITIONS[condition]![0]}` : ''
          }`,
        })),
      ),
  );
}

/**
 * Forms in which AMD's processors differ from Intel's, whose manual the model follows: 64-bit far pointers, 0F 0D with a
 * register (undefined), the size of 16-bit movsxd's source. INT1 is not reported truly by a virtualized host.
 */
const DIFFERS = ({ shape, width, memory }: Form): boolean => {
  const { row } = shape;
  if (row.meaning === 'jmp-far' || row.meaning === 'call-far') return width === 64;
  if (row.mnemonic === 'movsxd') return width === 16 && memory;
  return row.meaning === 'int1' || (row.meaning === 'nop' && row.encoding.startsWith('0f 0d'));
};

export const FORMS: readonly Form[] = ROWS.filter((row) => row.only !== 'encode' && !NOT_ASKED.has(row.meaning))
  .map(shapeOf)
  .flatMap(formsOf)
  .filter((form) => !DIFFERS(form));
