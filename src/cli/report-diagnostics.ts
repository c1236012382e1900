/** Diagnostics for people, for GitHub's annotations and for programs. */

import { allNotes, type Diagnostic, formatDiagnostic } from '../../lang/assembler/diagnostics.ts';
import { EXIT } from './exit-status.ts';
import { UsageError } from './usage-error.ts';

/** Whether GitHub reads along, and puts what it understands beside the source. */
export const inWorkflow = (): boolean => process.env['GITHUB_ACTIONS'] === 'true';

/** The text of diagnostics; in a GitHub workflow each is followed by the line that puts it beside the source. */
export function diagnosticsText(diagnostics: readonly Diagnostic[]): string {
  return diagnostics
    .flatMap((each) => (inWorkflow() ? [formatDiagnostic(each), annotation(each)] : [formatDiagnostic(each)]))
    .join('\n');
}

/** Diagnostics as the error that ends the run. */
export const assemblyError = (diagnostics: readonly Diagnostic[], json = false): UsageError =>
  new UsageError(json ? diagnosticsJson(diagnostics) : diagnosticsText(diagnostics), EXIT.ASSEMBLY);

/** `::error file=…,line=…,col=…::text` (GitHub's workflow commands). */
export function annotation(diagnostic: Diagnostic): string {
  const { file, line, column, endColumn } = placeOf(diagnostic);
  const place = file === null ? {} : { file, line, col: column, endColumn };
  const text = [diagnostic.message, ...formsNote(diagnostic), ...allNotes(diagnostic)].join('\n');
  return workflowCommand(diagnostic.severity, place, text);
}

/** `::error file=…,line=…::text`, with what it is about, as far as that is known. */
export function workflowCommand(
  severity: string,
  about: Readonly<Record<string, string | number | null | undefined>>,
  text: string,
): string {
  const properties = Object.entries(about).flatMap(([name, value]) =>
    value === null || value === undefined ? [] : [`${name}=${property(String(value))}`],
  );
  return `::${severity}${properties.length > 0 ? ` ${properties.join(',')}` : ''}::${data(text)}`;
}

const formsNote = ({ forms }: Diagnostic): string[] =>
  forms === undefined || forms.length === 0 ? [] : [`forms: ${forms.join('   ')}`];

const data = (text: string) => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const property = (text: string) => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

interface Place {
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  /** Column behind the last character at fault, which stands on the same line. */
  readonly endColumn: number | null;
}

function placeOf({ span }: Diagnostic): Place {
  if (span === undefined) return { file: null, line: null, column: null, endColumn: null };
  const { file } = span.origin;
  const { line, column } = file.position(span.start);
  const end = Math.min(column + Math.max(1, span.end - span.start), Math.max(column, file.lineText(line).length) + 1);
  return { file: file.name, line, column, endColumn: end };
}

/** One JSON object: `{"v":1,"diagnostics":[{file,line,column,endColumn,severity,warning,message,notes,forms}]}`, in order of finding. */
export function diagnosticsJson(diagnostics: readonly Diagnostic[]): string {
  return JSON.stringify({
    v: 1,
    diagnostics: diagnostics.map((each) => ({
      ...placeOf(each),
      severity: each.severity,
      warning: each.warning ?? null,
      message: each.message,
      notes: allNotes(each),
      forms: each.forms ?? [],
    })),
  });
}
