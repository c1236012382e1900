/** `gvm run` alone: a bundle of its own, so that the commonest command loads nothing of the others. */

import { StandardOutput } from './output.ts';
import { runCommand } from './run-command.ts';
import { start } from './start.ts';

const output = new StandardOutput();
start(new Map([['run', runCommand(output)]]), output);

/** For the build: what a warm-up run has compiled. */
export { compiledForms } from '../hardware/vcpu/interpreter/form.ts';
