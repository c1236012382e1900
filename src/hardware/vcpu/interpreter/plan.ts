/** What decoded code is made of: forms, which instructions of equal shape share, and plans, which give each its own numbers. */

import type { PreparedForm } from './prepared-forms.ts';
import type { Field } from './record-layout.ts';
import type { Parameter } from './step.ts';

/** A parameter's name, taken apart: the kind's letter, the operand it belongs to, and the width of an immediate. */
export interface ParameterName {
  readonly letter: string;
  readonly operand: number;
  readonly width: number;
}

/** A form without an environment: shared by all vCPUs of the process. */
export interface Form {
  /** Counts the forms of the process, from 0. */
  readonly number: number;
  readonly key: string;
  readonly names: readonly string[];
  readonly parameters: readonly ParameterName[];
  /** Where the parameters lie in a record, in their order. */
  readonly layout: readonly Field[];
  readonly factory: PreparedForm['factory'];
  /** Undefined for one that was prepared by the build. */
  readonly source: string | undefined;
}

/** What an instruction is to any vCPU of the process: its form and its own numbers. */
export interface Plan {
  readonly form: Form;
  readonly values: readonly Parameter[];
}
