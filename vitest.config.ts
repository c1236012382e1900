import { defineConfig } from 'vitest/config';

const results = process.env['GVM_TEST_RESULTS'];

export default defineConfig({
  // A host program's import, which gvm answers when it runs one.
  resolve: { alias: { 'gvm/uapi': new URL('src/linux/uapi/public.ts', import.meta.url).pathname } },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/fixed-seed.ts'],
    globalSetup: ['test/build-first.ts'],
    // As many as there are processors: the tests wait for children more than for each other.
    maxWorkers: '100%',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: results === undefined ? ['default'] : ['default', ['json', { outputFile: results }]],
  },
});
