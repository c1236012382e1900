/** Privilege and system state: SDM vol. 3A ch. 2, 5 and 7, vol. 1 ch. 19. */

import { describe, expect, test } from 'vitest';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import { CR0_AM } from '../../src/hardware/vcpu/paging.ts';
import { flatCode } from '../../src/hardware/vcpu/segments.ts';
import {
  CODE,
  GDT,
  KERNEL_CODE,
  PrivilegeMachine,
  STACK0,
  TSS,
  USER,
  USER_CODE,
  USER_DATA,
  USER_STACK,
} from './privilege-machine.ts';

const [UD, TS, NP, GP, PF, AC] = [6, 10, 11, 13, 14, 17];
const at = (offset: number) => CODE + offset;
const inUser = (code: string) => {
  const machine = new PrivilegeMachine('');
  machine.enterUser(code);
  return machine;
};
const wrmsr = (index: number, value: bigint) =>
  `mov ecx, ${index}\n mov eax, ${value & 0xffffffffn}\n mov edx, ${value >> 32n}\n wrmsr\n`;

describe('privilege 3', () => {
  test.each([
    'hlt',
    'cli',
    'sti',
    'clts',
    'lgdt [rbp]',
    'lidt [rbp]',
    'lldt ax',
    'ltr ax',
    'lmsw ax',
    'mov cr3, rax',
    'mov rax, cr0',
    'mov rax, dr0',
    'mov dr7, rax',
    'rdmsr',
    'wrmsr',
    'invlpg [rax]',
    'invpcid rax, [rbp]',
    'swapgs',
    'wbinvd',
    'invd',
    'in al, 0x60',
    'out dx, eax',
    'rdpmc',
  ])('%s is #GP(0)', (instruction) => {
    expect(inUser(instruction).run()).toMatchObject({ vector: GP, errorCode: 0, rip: USER, cs: USER_CODE });
  });

  test.each(['stac', 'clac', 'monitor', 'mwait', 'rdfsbase rax', 'xgetbv', 'ud0 eax, eax', 'vmmcall'])(
    '%s is #UD',
    (instruction) => {
      expect(inUser(instruction).run()).toMatchObject({ vector: UD, rip: USER });
    },
  );

  test('a fault changes to the stack that the TSS names, and pushes the program’s', () => {
    const machine = inUser('ud2');
    expect(machine.run()).toMatchObject({ vector: UD, rsp: USER_STACK, cs: USER_CODE });
    expect(machine.cpu.register(4)).toBe(BigInt(STACK0 - 40));
    expect(machine.cpu.segment('ss')).toMatchObject({ selector: 0 });
  });

  test('a TSS that is too short is #TS, and from there a double fault or worse', () => {
    const machine = inUser('ud2');
    machine.cpu.setSegment('tr', { ...flatCode(0x40, 0), s: 0, base: BigInt(TSS), limit: 8 });
    machine.setGate(TS, 0x9000 + TS, { ist: 0 });
    expect(machine.run().reason).toBe(EXIT_REASON.TRIPLE_FAULT);
  });

  test('supervisor pages are #PF with U and P', () => {
    const machine = inUser(`mov eax, [${CODE}]`);
    expect(machine.run()).toMatchObject({ vector: PF, errorCode: 5 });
    expect(machine.cpu.control(2)).toBe(BigInt(CODE));
  });

  test('a kernel page that was just touched by the supervisor stays closed to the program', () => {
    const machine = new PrivilegeMachine(
      `mov eax, [0x100800]\n push ${USER_DATA}\n push ${USER_STACK}\n push 2\n push ${USER_CODE}\n push ${USER}\n iretq`,
    );
    machine.place('mov eax, [0x100800]', USER);
    expect(machine.run()).toMatchObject({ vector: PF, errorCode: 5, cs: USER_CODE });
  });

  test('the I/O permission bitmap opens single ports', () => {
    const machine = inUser('in al, 0x60\n in ax, 0x60\n');
    machine.memory.view.setUint16(TSS + 0x66, 0x80, true);
    machine.memory.bytes.fill(0xff, TSS + 0x80, TSS + 0x100);
    machine.memory.bytes[TSS + 0x80 + 0x60 / 8] = 0xfe;
    expect(machine.run().reason).toBe(EXIT_REASON.IO_INSTRUCTION);
    machine.cpu.skipInstruction();
    expect(machine.run()).toMatchObject({ vector: GP, errorCode: 0, rip: USER + 2 });
  });

  test('IOPL 3 opens all ports and sti; popf changes neither IOPL nor, below it, IF', () => {
    const machine = inUser('in al, 0x60');
    machine.cpu.rflags = 0x3002n;
    expect(machine.run().reason).toBe(EXIT_REASON.IO_INSTRUCTION);
    const other = inUser('push 0x3202\n popfq\n ud2');
    expect(other.run().rflags & 0x3200).toBe(0);
  });

  test('#AC with CR0.AM and EFLAGS.AC, and only in privilege 3', () => {
    const source = `mov eax, [${USER + 0x801}]`;
    const machine = inUser(source);
    machine.cpu.setControl(0, machine.cpu.control(0) | CR0_AM);
    machine.cpu.rflags = 0x40002n;
    expect(machine.run()).toMatchObject({ vector: AC, errorCode: 0, rip: USER });
    const kernel = new PrivilegeMachine(`${source}\n hlt`);
    kernel.cpu.setControl(0, kernel.cpu.control(0) | CR0_AM);
    kernel.cpu.rflags = 0x40002n;
    expect(kernel.run()).toMatchObject({ vector: undefined, reason: EXIT_REASON.HLT });
  });
});

describe('fast system calls', () => {
  const STAR = (0x0020n << 48n) | (BigInt(KERNEL_CODE) << 32n);

  test('syscall and sysret: rip, rflags, segments; FMASK masks', () => {
    const set =
      wrmsr(0xc0000080, 0x901n) + wrmsr(0xc0000081, STAR) + wrmsr(0xc0000082, 0xa000n) + wrmsr(0xc0000084, 0x300n);
    const machine = new PrivilegeMachine(`${set} mov rcx, ${USER}\n mov r11, 0x246\n o64 sysret`);
    machine.place('syscall\n ud2', USER);
    machine.place('mov rbx, rsp\n o64 sysret', 0xa000);
    machine.cpu.setRegister(4, BigInt(USER_STACK));
    expect(machine.run()).toMatchObject({ vector: UD, rip: USER + 2, cs: USER_CODE, rsp: USER_STACK });
    expect(machine.cpu.register(3)).toBe(BigInt(USER_STACK));
    expect(machine.cpu.register(11) & 0x246n).toBe(0x246n);
  });

  test('without EFER.SCE they are #UD; a bad return address is #GP in the kernel', () => {
    expect(inUser('syscall').run()).toMatchObject({ vector: UD });
    const machine = new PrivilegeMachine(`${wrmsr(0xc0000080, 0x901n)} mov rcx, 0x800000000000\n o64 sysret`);
    expect(machine.run()).toMatchObject({ vector: GP, errorCode: 0, cs: KERNEL_CODE });
  });

  test('selectors are counted modulo 2^16', () => {
    const machine = new PrivilegeMachine(
      `${wrmsr(0xc0000080, 0x901n)}${wrmsr(0xc0000081, 0xfff8n << 48n)} mov rcx, ${USER}\n xor r11d, r11d\n o64 sysret`,
    );
    machine.place('mov eax, cs\n mov ebx, ss\n ud2', USER);
    machine.cpu.setRegister(4, BigInt(USER_STACK));
    expect(machine.run()).toMatchObject({ vector: UD, cs: 0xb });
    expect([machine.cpu.register(0), machine.cpu.register(3)]).toEqual([0xbn, 3n]);
  });

  test('swapgs exchanges the bases', () => {
    const machine = new PrivilegeMachine(`${wrmsr(0xc0000102, 0x300000n)} swapgs\n mov eax, [gs:4]\n hlt`);
    machine.memory.view.setUint32(0x300004, 0x1234, true);
    machine.run();
    expect(machine.cpu.register(0)).toBe(0x1234n);
  });
});

describe('far transfers', () => {
  const far = (offset: number, selector: number) => `jmp short go\n align 8\n p: dq ${offset}\n dw ${selector}\n go: `;

  test('jmp far to the same privilege, by a 64-bit pointer', () => {
    const machine = new PrivilegeMachine(`${far(0xa000, KERNEL_CODE)} jmp far qword [rel p]`);
    machine.place('mov al, 9\n ud2', 0xa000);
    expect(machine.run()).toMatchObject({ vector: UD, rip: 0xa002 });
  });

  test.each([
    ['null', 0, GP, 0],
    ['a data segment', 0x18, GP, 0x18],
    ['an outer privilege', USER_CODE, GP, USER_CODE & ~3],
    ['beyond the table', 0x1000, GP, 0x1000],
  ])('jmp far to %s', (_, selector, vector, errorCode) => {
    const machine = new PrivilegeMachine(`${far(0xa000, selector)} jmp far qword [rel p]`);
    expect(machine.run()).toMatchObject({ vector, errorCode });
  });

  test('a segment that is not present is #NP with its selector', () => {
    const machine = new PrivilegeMachine(`${far(0xa000, 0x50)} jmp far qword [rel p]`);
    machine.memory.view.setBigUint64(GDT + 0x50, 0x00af1b000000ffffn, true);
    expect(machine.run()).toMatchObject({ vector: NP, errorCode: 0x50 });
  });

  test('retf to an outer privilege takes rsp and ss, and drops what the program may not have', () => {
    const machine = new PrivilegeMachine(
      `mov ds, [rel s]\n push ${USER_DATA}\n push ${USER_STACK}\n push ${USER_CODE}\n push ${USER}\n o64 retf\n s: dw 0x18`,
    );
    machine.place('ud2', USER);
    expect(machine.run()).toMatchObject({ vector: UD, rip: USER, cs: USER_CODE, rsp: USER_STACK });
    expect(machine.cpu.segment('ds')).toMatchObject({ unusable: 1, selector: 0 });
  });

  test('a call gate leads to privilege 0 on the TSS’s stack', () => {
    const machine = inUser(`${far(0, 0x53)} call far [rel p]\n`);
    const { view } = machine.memory;
    view.setBigUint64(GDT + 0x50, 0x0000ec0000100000n | 0xa000n, true);
    view.setBigUint64(GDT + 0x58, 0n, true);
    machine.place('pop rax\n pop rbx\n pop rdx\n pop rsi\n ud2', 0xa000);
    expect(machine.run()).toMatchObject({ vector: UD, rip: 0xa004, cs: KERNEL_CODE });
    expect([3, 2, 6].map((register) => Number(machine.cpu.register(register)))).toEqual([
      USER_CODE,
      USER_STACK,
      USER_DATA,
    ]);
  });

  test('iret checks: NT, an inner privilege, a null selector, a target that is not canonical', () => {
    const frame = (rip: string, cs: number) =>
      `push 0\n push rsp\n push 2\n push ${cs}\n mov rax, ${rip}\n push rax\n iretq`;
    expect(new PrivilegeMachine('push 0x4002\n popfq\n iretq').run()).toMatchObject({ vector: GP, errorCode: 0 });
    expect(inUser(frame('0xa000', KERNEL_CODE)).run()).toMatchObject({ vector: GP, errorCode: KERNEL_CODE });
    expect(new PrivilegeMachine(frame('0xa000', 0)).run()).toMatchObject({ vector: GP, errorCode: 0 });
    expect(new PrivilegeMachine(frame('0x800000000000', KERNEL_CODE)).run()).toMatchObject({
      vector: GP,
      errorCode: 0,
    });
  });
});

describe('control registers and MSRs', () => {
  test.each([
    ['mov cr0 without paging', 'mov eax, 1\n mov cr0, rax', 5],
    ['mov cr0 with NW and not CD', 'mov eax, 0xa0010001\n mov cr0, rax', 5],
    ['mov cr0 with upper bits', 'mov rax, 0x180010001\n mov cr0, rax', 10],
    ['mov cr4 without PAE', 'xor eax, eax\n mov cr4, rax', 2],
    ['mov cr4 with VME, which CPUID has not', 'mov eax, 0x21\n mov cr4, rax', 5],
    ['mov cr4 with VMXE', 'mov eax, 0x2020\n mov cr4, rax', 5],
    ['mov cr4 with OSXSAVE', 'mov eax, 0x40020\n mov cr4, rax', 5],
    ['mov cr3 beyond MAXPHYADDR', 'mov rax, 0x400000002000\n mov cr3, rax', 10],
    ['mov cr3 with bit 63 and no PCIDs', 'mov rax, 0x8000000000002000\n mov cr3, rax', 10],
    ['mov cr8 with more than 4 bits', 'mov eax, 16\n mov cr8, rax', 5],
    ['mov dr7 with upper bits', 'mov rax, 0x100000000\n mov dr7, rax', 10],
    ['invpcid of an unknown kind', 'mov eax, 4\n invpcid rax, [rsp-16]', 5],
    ['invpcid of a PCID without PCIDs', 'mov qword [0x300000], 7\n xor eax, eax\n invpcid rax, [0x300000]', 14],
    ['wrmsr of LSTAR, not canonical', wrmsr(0xc0000082, 0x800000000000n).trim(), 15],
    ['wrmsr of FS_BASE, not canonical', wrmsr(0xc0000100, 0x800000000000n).trim(), 15],
    ['wrmsr of EFER with reserved bits', wrmsr(0xc0000080, 0x10d01n).trim(), 15],
    ['wrmsr of EFER that clears LME', wrmsr(0xc0000080, 0x801n).trim(), 15],
  ])('%s is #GP(0)', (_, source, offset) => {
    expect(new PrivilegeMachine(source).run()).toMatchObject({ vector: GP, errorCode: 0, rip: at(offset) });
  });

  test('PCIDs need an empty one to be turned on; then CR3 may say to keep', () => {
    const machine = new PrivilegeMachine(
      'mov eax, 0x20020\n mov cr4, rax\n mov rax, 0x8000000000002005\n mov cr3, rax\n mov rbx, cr3\n hlt',
    );
    expect(machine.run().reason).toBe(EXIT_REASON.HLT);
    expect(machine.cpu.register(3)).toBe(0x2005n);
  });

  test('rdfsbase and wrfsbase under CR4.FSGSBASE; rdtscp and rdpid give TSC_AUX', () => {
    const machine = new PrivilegeMachine(
      `mov eax, 0x10020\n mov cr4, rax\n mov rax, 0x1234567890\n wrfsbase rax\n rdfsbase rbx\n ${wrmsr(0xc0000103, 5n)} rdtscp\n rdpid rsi\n hlt`,
    );
    machine.run();
    expect([3, 1, 6].map((register) => machine.cpu.register(register))).toEqual([0x1234567890n, 5n, 5n]);
  });

  test('ltr marks its descriptor busy and refuses a busy one; str and sldt read back', () => {
    const machine = new PrivilegeMachine(
      'mov eax, 0x40\n ltr ax\n str ebx\n xor ecx, ecx\n lldt cx\n sldt edx\n ltr ax',
    );
    expect(machine.run()).toMatchObject({ vector: GP, errorCode: 0x40 });
    expect([3, 2].map((register) => machine.cpu.register(register))).toEqual([0x40n, 0n]);
    expect(machine.memory.bytes[GDT + 0x45]! & 15).toBe(11);
  });

  test('lar, lsl, verr and verw see what the privilege may see', () => {
    const machine = new PrivilegeMachine(
      'mov eax, 0x10\n lar ebx, ax\n lsl ecx, ax\n verr ax\n setz dl\n verw ax\n setz dh\n hlt',
    );
    machine.run();
    expect([3, 1, 2].map((register) => machine.cpu.register(register))).toEqual([0xaf9b00n, 0xffffffffn, 1n]);
    const user = inUser('mov eax, 0x10\n lar ebx, ax\n setz dl\n ud2');
    user.run();
    expect(user.cpu.register(2)).toBe(0n);
  });
});
