import { expect, test } from 'vitest';
import { parseUuid } from '../../../src/linux/mdev/uuid.ts';

test.each([
  ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
  ['83B8F4F2-509F-382F-3C1E-E6BFE0FA1001', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
  ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\n', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
  ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001x', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
  ['zzb8f4f2-509f-382f-3c1e-e6bfe0fa1001', undefined],
  ['83b8f4f20509f-382f-3c1e-e6bfe0fa1001', undefined],
  ['83b8f4f2-509f-382f-3c1e-e6bfe0fa100', undefined],
  [' 83b8f4f2-509f-382f-3c1e-e6bfe0fa100', undefined],
  ['', undefined],
])('%j', (text, uuid) => {
  expect(parseUuid(text)).toBe(uuid);
});
