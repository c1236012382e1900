/** /sys/kernel/mm/hugepages: how many large pages there are, and how many there are to be (mm/hugetlb.c: hugetlb_sysfs_init). */

import { EINVAL } from '../uapi/errno.ts';
import type { HugePages } from './hugetlb.ts';
import type { Sysfs } from './sysfs.ts';
import type { RefusingContext } from './uaccess.ts';

/** Make the folder of each pool. */
export function showHugePages({ pools }: HugePages, sysfs: Sysfs, kernel: RefusingContext): void {
  for (const pool of pools) {
    const folder = `/sys/kernel/mm/hugepages/hugepages-${4 * 2 ** pool.order}kB`;
    const number = (of: () => number) => ({ mode: 0o444, show: () => `${of()}\n` });
    sysfs.attribute(`${folder}/nr_hugepages`, {
      mode: 0o644,
      show: () => `${pool.total}\n`,
      store: (text) => {
        const digits = /^\+?(\d+)\n?$/.exec(text)?.[1];
        if (digits === undefined) return kernel.refuse(EINVAL, 'nr_hugepages takes a decimal number');
        pool.resize(Number(digits));
        return text.length;
      },
    });
    sysfs.attribute(
      `${folder}/free_hugepages`,
      number(() => pool.free),
    );
    sysfs.attribute(
      `${folder}/resv_hugepages`,
      number(() => pool.reserved),
    );
    sysfs.attribute(
      `${folder}/surplus_hugepages`,
      number(() => pool.surplus),
    );
  }
}
