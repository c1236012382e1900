/** Whether a tool that something is compared with is here. */

import { spawnSync } from 'node:child_process';

export const have = (tool: string): boolean => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
