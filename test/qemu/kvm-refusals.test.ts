/**
 * What QEMU says, and how it ends, when KVM refuses it something. Debian's QEMU 7.2 said it when strace made the same ioctls fail:
 * `strace -f -e trace=ioctl -e inject=ioctl:error=ENOMEM:when=N qemu-system-x86_64 -accel kvm …`.
 */

import { expect, test } from 'vitest';
import { ENOMEM } from '../../src/linux/uapi/errno.ts';
import type { Ioctl } from '../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../src/linux/uapi/kvm.ts';
import type { UserProcess } from '../../src/linux/uapi/syscalls.ts';
import { Qemu } from '../../src/qemu/main.ts';
import { Host } from './bench.ts';

/** `process`, of whose ioctls those of this number fail, or the first that is asked with `argument`. */
function refusing<P extends UserProcess>(process: P, { number }: Ioctl, argument?: number): P {
  const ioctl = (fd: number, request: number, given: number) =>
    request === number && (argument === undefined || given === argument)
      ? -ENOMEM
      : process.syscalls.ioctl(fd, request, given);
  const syscalls = new Proxy(process.syscalls, {
    get: (target, name) => {
      const value = name === 'ioctl' ? ioctl : Reflect.get(target, name);
      return typeof value === 'function' && name !== 'ioctl' ? value.bind(target) : value;
    },
  });
  return Object.assign(Object.create(process), { syscalls });
}

function started(argv: readonly string[], ioctl: Ioctl, argument?: number) {
  const host = new Host();
  let stderr = '';
  const { user } = host.kernel.spawn('qemu-system-x86_64', (_fd, bytes) => {
    stderr += new TextDecoder().decode(bytes);
  });
  const code = new Qemu(refusing(user, ioctl, argument), host.stream, argv).init();
  return { stderr: stderr.split('\n').slice(0, -1), code };
}

/** Rows with the ioctl's name in front. */
const named = (rows: readonly (readonly [Ioctl, readonly string[]])[]) =>
  rows.map(([ioctl, stderr]) => [ioctl.name, ioctl, stderr] as const);

const NO_MEMORY = 'failed to initialize kvm: Cannot allocate memory';

test.each(
  named([
    [uapi.KVM_GET_API_VERSION, ['kvm version too old', `qemu-system-x86_64: -accel kvm: ${NO_MEMORY}`]],
    [
      uapi.KVM_CREATE_VM,
      ['ioctl(KVM_CREATE_VM) failed: 12 Cannot allocate memory', `qemu-system-x86_64: -accel kvm: ${NO_MEMORY}`],
    ],
    [uapi.KVM_SET_TSS_ADDR, [`qemu-system-x86_64: -accel kvm: ${NO_MEMORY}`]],
    [uapi.KVM_CREATE_IRQCHIP, ['Create kernel irqchip failed: Cannot allocate memory']],
    [uapi.KVM_GET_SUPPORTED_CPUID, ['KVM_GET_SUPPORTED_CPUID failed: Cannot allocate memory']],
    [uapi.KVM_CREATE_PIT2, ['qemu-system-x86_64: Create kernel PIC irqchip failed: Cannot allocate memory']],
    [uapi.KVM_CREATE_VCPU, ['qemu-system-x86_64: kvm_init_vcpu: kvm_get_vcpu failed (0): Cannot allocate memory']],
    [
      uapi.KVM_GET_VCPU_MMAP_SIZE,
      ['qemu-system-x86_64: kvm_init_vcpu: KVM_GET_VCPU_MMAP_SIZE failed: Cannot allocate memory'],
    ],
    [uapi.KVM_SET_CPUID2, ['qemu-system-x86_64: kvm_init_vcpu: kvm_arch_init_vcpu failed (0): Cannot allocate memory']],
  ]),
)('%s fails', (_, ioctl, stderr) => {
  expect(started(['-accel', 'kvm'], ioctl)).toEqual({ stderr, code: 1 });
});

test('without -accel there is no option to blame, and an extension that is missing is an old kernel', () => {
  expect(started([], uapi.KVM_CHECK_EXTENSION, 14)).toEqual({
    stderr: [
      'kvm does not support KVM_CAP_MP_STATE',
      'Please upgrade to at least kernel 2.6.29 or recent kvm-kmod',
      '(see http://sourceforge.net/projects/kvm).',
      'qemu-system-x86_64: failed to initialize kvm: Invalid argument',
    ],
    code: 1,
  });
});

test.each(
  named([
    [
      uapi.KVM_SET_USER_MEMORY_REGION,
      [
        'qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=0, start=0x0, size=0x4000000: Cannot allocate memory',
        'kvm_set_phys_mem: error registering slot: Cannot allocate memory',
      ],
    ],
    [
      uapi.KVM_SET_GSI_ROUTING,
      ["qemu-system-x86_64: ../../accel/kvm/kvm-all.c:1773: kvm_irqchip_commit_routes: Assertion `ret == 0' failed."],
    ],
  ]),
)('%s fails, and QEMU aborts', (_, ioctl, stderr) => {
  expect(started(['-accel', 'kvm'], ioctl)).toEqual({ stderr, code: 134 });
});

/** A guest that ends with a jump to where no memory is. */
const astray = (linear: string) =>
  new Host().qemu(['-m', '64', '-serial', 'none'], `mov rax, ${linear}\nmov ebx, 0x1234\nmov cr2, rbx\nstc\njmp rax`);

test('what the vCPU was doing when its instruction could not be emulated, as x86_cpu_dump_state prints it', () => {
  const { end, stderr } = astray('0xffff888005000000');
  expect(end).toMatchObject({ reason: 'internal-error', code: 1 });
  expect(stderr.split('\n')).toEqual([
    'KVM internal error. Suberror: 1',
    ...[0x0, 0x30, 0x184, 0, 0, 0].map((word, i) => `extra data[${i}]: 0x${word.toString(16).padStart(16, '0')}`),
    'emulation failure',
    'RAX=ffff888005000000 RBX=0000000000001234 RCX=0000000000000000 RDX=0000000000000000',
    'RSI=0000000000010000 RDI=0000000000000000 RBP=0000000000000000 RSP=0000000000000000',
    'R8 =0000000000000000 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000',
    'R12=0000000000000000 R13=0000000000000000 R14=0000000000000000 R15=0000000000000000',
    'RIP=ffff888005000000 RFL=00000003 [------C] CPL=0 II=0 A20=1 SMM=0 HLT=0',
    'ES =0018 0000000000000000 ffffffff 00c09300 DPL=0 DS   [-WA]',
    'CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]',
    ...['SS', 'DS', 'FS', 'GS'].map((name) => `${name} =0018 0000000000000000 ffffffff 00c09300 DPL=0 DS   [-WA]`),
    'LDT=0000 0000000000000000 0000ffff 00000200',
    'TR =0000 0000000000000000 0000ffff 00008b00 DPL=0 TSS64-busy',
    'GDT=     0000000000001000 0000001f',
    'IDT=     0000000000000000 00000000',
    'CR0=80010031 CR2=0000000000001234 CR3=0000000000002000 CR4=00000020',
    `${[0, 1, 2, 3].map((n) => `DR${n}=0000000000000000 `).join('')}`,
    'DR6=00000000ffff0ff0 DR7=0000000000000400',
    'EFER=0000000000000500',
    `Code=${Array.from({ length: 50 }, (_, i) => (i === 20 ? '<??>' : '??')).join(' ')}`,
    '',
  ]);
});

test('the code around it: the end of RAM, where `add [rax], al` has run', () => {
  const { stderr } = astray('0xffff888003fffffe');
  const code = [...Array<string>(18).fill('00'), 'fe', '00', '<??>', ...Array<string>(29).fill('??')];
  expect(stderr).toContain(`\nCode=${code.join(' ')}\n`);
});
