/** The binary statistics of KVM_GET_STATS_FD: a header, a name, descriptors, values (Documentation/virt/kvm/api.rst 4.134). */

import { bytes, s16, struct, u16, u32, u64 } from './struct.ts';

export const KVM_STATS_NAME_SIZE = 48;
export const KVM_STATS_TYPE_CUMULATIVE = 0;
export const KVM_STATS_TYPE_INSTANT = 1;
export const KVM_STATS_UNIT_NONE = 0 << 4;
export const KVM_STATS_UNIT_SECONDS = 2 << 4;
export const KVM_STATS_BASE_POW10 = 0 << 8;

export const kvm_stats_header = struct('kvm_stats_header', {
  flags: u32,
  name_size: u32,
  num_desc: u32,
  id_offset: u32,
  desc_offset: u32,
  data_offset: u32,
});
/** `offset` counts from `data_offset`; a value is base^exponent of its unit. */
export const kvm_stats_desc = struct('kvm_stats_desc', {
  flags: u32,
  exponent: s16,
  size: u16,
  offset: u32,
  bucket_size: u32,
  name: bytes(KVM_STATS_NAME_SIZE),
});
export const kvm_stats_value = struct('u64', { value: u64 });
